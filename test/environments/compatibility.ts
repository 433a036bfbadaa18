/** A row of docs/compatibility.md, which states for each tested environment whether last-logout works in it. */
export interface Compatibility {
  area: Area
  environment: string
  outcome: 'works' | 'is refused'
  /** What users must know about this environment, or how last-logout refuses to run in it. Can be empty. */
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

// Vitest writes the `meta` of each test to the report of a test run. scripts/compatibility.ts renders
// docs/compatibility.md from a report.
declare module 'vitest' {
  interface TaskMeta {
    compatibility?: Compatibility
  }
}

/**
 * Returns the options of a `test` or `describe` that passes if last-logout works in the environment. If it passes,
 * docs/compatibility.md lists the environment as working.
 */
export function listedAsWorking(area: Area, environment: string, note = '') {
  return { meta: { compatibility: { area, environment, outcome: 'works', note } as const } }
}

/**
 * Returns the options of a `test` or `describe` that passes if last-logout refuses to run in the environment. If it
 * passes, docs/compatibility.md lists the environment as refused.
 */
export function listedAsRefused(area: Area, environment: string, note: string) {
  return { meta: { compatibility: { area, environment, outcome: 'is refused', note } as const } }
}
