/** A function that runs at a fixed interval. */
export interface ScheduledJob {
  /** Unique among the jobs. */
  name: string
  everyMs: number
  /** Maximum time between two calls of `progressed` before a run is stalled, in milliseconds. Default: 120,000. */
  stallMs?: number
  /**
   * Runs the job once.
   *
   * @param signal Aborts when the jobs are closed, and when the run has stalled. The run then has a grace period.
   * @param progressed Reports that the run makes progress.
   * @returns `skipped` if nothing was tried. This does not count as a success.
   */
  run(signal: AbortSignal, progressed: () => void): Promise<unknown>
}
