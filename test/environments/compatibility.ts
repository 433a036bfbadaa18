/** A row of docs/compatibility.md: an environment, and what last-logout does in it. */
export interface Compatibility {
  area: Area
  /** `null`: the title of the test. */
  environment: string | null
  outcome: 'works' | 'is refused'
  /** What a user has to know: a condition, or the message of the refusal. */
  note: string
}

/** A section of docs/compatibility.md. */
export type Area = (typeof AREAS)[number]

/** The sections in their order. */
export const AREAS = [
  'PostgreSQL',
  'PostgreSQL poolers and replicas',
  'Redis and Valkey',
  'Reverse proxies before the API',
  'Proxies to Auth0',
  'Machines and clocks',
] as const

declare module 'vitest' {
  interface TaskMeta {
    compatibility?: Compatibility
  }
}

/** Options of a `test` or `describe` which shows that last-logout works in an environment. */
export function works(area: Area, environment: string | null, note = '') {
  return { meta: { compatibility: { area, environment, outcome: 'works', note } as const } }
}

/** Options of a `test` or `describe` which shows that last-logout refuses an environment, and with which message. */
export function refuses(area: Area, environment: string | null, note: string) {
  return { meta: { compatibility: { area, environment, outcome: 'is refused', note } as const } }
}
