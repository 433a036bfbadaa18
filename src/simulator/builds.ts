/** The state of a build. */
type BuildStatus = 'pending' | 'building' | 'built' | 'failed'

/** The build of a draft or of a version. */
export interface Build {
  readonly startedMs: number
  readonly fails: boolean
}

/** Options of {@link createBuilds}. */
export interface BuildsOptions {
  now(): number
  /** The duration of every build, in milliseconds of the tenant's clock. */
  buildMs: number
}

/** The builds of a tenant. */
export interface Builds {
  start(): Build
  statusOf(build: Build): BuildStatus
  /** Makes the next build fail. */
  failNext(): void
}

/** Creates the builds of a tenant. The status of a build depends on the time since its start, by the tenant's clock. */
export function createBuilds({ now, buildMs }: BuildsOptions): Builds {
  let failsNext = false
  return {
    start() {
      const fails = failsNext
      failsNext = false
      return { startedMs: now(), fails }
    },
    statusOf({ startedMs, fails }) {
      const elapsedMs = now() - startedMs
      if (elapsedMs < buildMs) return elapsedMs < buildMs / 2 ? 'pending' : 'building'
      return fails ? 'failed' : 'built'
    },
    failNext() {
      failsNext = true
    },
  }
}
