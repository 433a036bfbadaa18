/** A row of docs/compatibility.md. It states whether last-logout works in an environment. */
export interface Compatibility {
  area: Area
  /** The name of the environment. If it is `null`, the document shows the title of the test. */
  environment: string | null
  outcome: 'works' | 'is refused'
  /** A condition that users must know, or how last-logout refuses to run. Can be empty. */
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

// The reports of test runs contain this property. scripts/compatibility.ts renders docs/compatibility.md from a report.
declare module 'vitest' {
  interface TaskMeta {
    compatibility?: Compatibility
  }
}

/** Returns options for a `test` or `describe` that passes if last-logout works in the environment. */
export function worksIn(area: Area, environment: string | null, note = '') {
  return { meta: { compatibility: { area, environment, outcome: 'works', note } as const } }
}

/** Returns options for a `test` or `describe` that passes if last-logout refuses to run in the environment. */
export function isRefusedIn(area: Area, environment: string | null, note: string) {
  return { meta: { compatibility: { area, environment, outcome: 'is refused', note } as const } }
}
