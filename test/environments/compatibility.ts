/** A row of docs/compatibility.md: an environment, and whether last-logout works in it. */
export interface Compatibility {
  area: Area
  /** The name of the environment. `null`: the title of the test is the name. */
  environment: string | null
  outcome: 'works' | 'is refused'
  /** A condition that users must know, or how last-logout refuses to run. */
  note: string
}

/** A section of docs/compatibility.md. */
export type Area = (typeof AREAS)[number]

/** The sections in the order of docs/compatibility.md. */
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

/** Returns the options of a `test` or `describe` that shows that last-logout works in an environment. */
export function worksIn(area: Area, environment: string | null, note = '') {
  return { meta: { compatibility: { area, environment, outcome: 'works', note } as const } }
}

/** Returns the options of a `test` or `describe` that shows that last-logout refuses to run in an environment. */
export function isRefusedIn(area: Area, environment: string | null, note: string) {
  return { meta: { compatibility: { area, environment, outcome: 'is refused', note } as const } }
}
