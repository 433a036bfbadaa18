/** Options of {@link batchCalls}. */
export interface BatchOptions<Input, Result> {
  /** Processes a batch. Returns one result for each input, in the order of the inputs. */
  run(inputs: Input[]): Promise<Result[]>
  /** Maximum number of inputs in a batch. */
  maxSize: number
  /**
   * Maximum number of batches in progress. Calls beyond this limit wait and form the next batch, so batches grow with
   * the load.
   */
  maxConcurrent: number
  /**
   * Maximum time that a batch waits for the end of a running batch, in milliseconds. After this time, the batch starts
   * in parallel. So fast batches run in sequence and are large, and a slow batch delays other batches only briefly.
   * Default: 0.
   */
  headStartMs?: number
  /**
   * A batch of this number of calls starts at once, even during the turn of the event loop, and even if one other batch
   * is in progress. The caller can then process the results of one batch while the other batch is in progress. Default:
   * no batch starts at once.
   */
  readySize?: number
  /** Maximum time that a batch waits before it starts, in milliseconds. After this time, its calls reject. */
  maxWaitMs: number
  /** Whether a single input may have caused the failure of its batch. If so, each input is processed again alone. */
  isInputError(error: unknown): boolean
}

/** A call that waits for the result of its batch. */
interface Call<Input, Result> {
  input: Input
  resolve(result: Result): void
  reject(error: unknown): void
}

/** A batch that has not started. */
interface Batch<Input, Result> {
  calls: Call<Input, Result>[]
  timer: NodeJS.Timeout
}

/**
 * Returns a function that processes its calls in batches. A batch contains the calls of one turn of the event loop, or
 * the first `readySize` calls of the turn. While `maxConcurrent` batches are in progress, the next batch also collects
 * the calls of later turns. A batch starts after its last call, so no call gets a result that was read before the call.
 */
export function batchCalls<Input, Result>(
  options: BatchOptions<Input, Result>,
): (input: Input) => Promise<Result> {
  const { maxSize, maxConcurrent, maxWaitMs, headStartMs = 0, readySize } = options
  const waiting: Batch<Input, Result>[] = []
  let runningCount = 0
  let scheduled: NodeJS.Immediate | undefined
  let headStart: NodeJS.Timeout | undefined

  function schedule(): void {
    if (scheduled || runningCount === maxConcurrent || waiting.length === 0) return
    if (runningCount === 0 || headStartMs === 0) scheduleNow()
    else headStart ??= setTimeout(startBatches, headStartMs)
  }

  function scheduleNow(): void {
    // `setImmediate` runs after all calls of this turn.
    scheduled = setImmediate(startBatches)
  }

  function startBatches(): void {
    clearImmediate(scheduled)
    scheduled = undefined
    clearTimeout(headStart)
    headStart = undefined
    while (runningCount < maxConcurrent) {
      const batch = waiting.shift()
      if (batch === undefined) return
      clearTimeout(batch.timer)
      runningCount++
      void settle(batch.calls, options).finally(() => {
        runningCount--
        if (!scheduled && waiting.length > 0) scheduleNow()
      })
    }
  }

  function addBatch(): Batch<Input, Result> {
    const expire = () => {
      waiting.splice(waiting.indexOf(batch), 1)
      const error = new Error(`no batch could start within ${maxWaitMs} ms`)
      for (const call of batch.calls) call.reject(error)
    }
    const batch: Batch<Input, Result> = { calls: [], timer: setTimeout(expire, maxWaitMs) }
    waiting.push(batch)
    return batch
  }

  return (input) =>
    new Promise((resolve, reject) => {
      const lastBatch = waiting.at(-1)
      const hasSpace = lastBatch !== undefined && lastBatch.calls.length < maxSize
      const batch = hasSpace ? lastBatch : addBatch()
      batch.calls.push({ input, resolve, reject })
      if (batch.calls.length === readySize && runningCount <= 1) startBatches()
      else schedule()
    })
}

/** Processes the calls of a batch and settles all of them. Never rejects. */
async function settle<Input, Result>(
  calls: Call<Input, Result>[],
  { run, isInputError }: Pick<BatchOptions<Input, Result>, 'run' | 'isInputError'>,
): Promise<void> {
  try {
    const results = await run(calls.map(({ input }) => input))
    for (const [index, call] of calls.entries()) call.resolve(results[index] as Result)
  } catch (error) {
    if (calls.length === 1 || !isInputError(error)) {
      for (const call of calls) call.reject(error)
      return
    }
    for (const call of calls) await settle([call], { run, isInputError })
  }
}
