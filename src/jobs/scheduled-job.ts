/** A function to be run at a fixed interval. */
export interface ScheduledJob {
  /** Unique among the jobs. */
  name: string
  everyMs: number
  /** How long a run may go without `progressed`, in milliseconds. Default: 120,000. */
  stallMs?: number
  /**
   * `signal` aborts when the jobs are being closed, or when the run has stalled; it is then waited
   * for, but not for ever. `progressed` says that it goes forward. Resolving to `skipped` says that
   * nothing was tried: then nothing is known to work either.
   */
  run(signal: AbortSignal, progressed: () => void): Promise<unknown>
}
