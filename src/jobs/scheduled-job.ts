/** A function that runs at a fixed interval. */
export interface ScheduledJob {
  /** Unique among the jobs. */
  name: string
  /** Interval of the job, in milliseconds. */
  everyMs: number
  /** A run that does not call `reportProgress` for this time is stalled, in milliseconds. Default: 120,000. */
  stallMs?: number
  /**
   * Runs the job once.
   *
   * @param signal Aborts when the jobs are closed, and when the run has stalled. The run must then end within a grace
   *   period.
   * @param reportProgress Reports that the run makes progress.
   * @returns `skipped` if the run did nothing. Such a run does not count as a success.
   */
  run(signal: AbortSignal, reportProgress: () => void): Promise<unknown>
}
