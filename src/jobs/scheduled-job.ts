/** A job that the worker runs at a fixed interval. */
export interface ScheduledJob {
  /** Unique among the jobs. */
  name: string
  /** Interval of the job, in milliseconds. */
  everyMs: number
  /** A run is stalled if it does not call `reportProgress` for this time, in milliseconds. Default: 120,000. */
  stallMs?: number
  /**
   * Runs the job once.
   *
   * @param signal Aborts when the worker closes, and when the run has stalled. The run must then end within 20 seconds.
   * @param reportProgress Must be called whenever the run makes progress.
   * @returns `skipped` if the run did nothing. The runner then records neither a success nor a failure.
   */
  run(signal: AbortSignal, reportProgress: () => void): Promise<unknown>
}
