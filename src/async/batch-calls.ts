/** Options of {@link batchCalls}. */
export interface BatchOptions<Input, Result> {
  /** Processes a batch. Returns one result for each input, in the order of the inputs. */
  run(inputs: Input[]): Promise<Result[]>
  /** Maximum number of inputs in a batch. */
  maxSize: number
  /** Maximum number of batches in progress. Further calls wait together, so batches grow with the load. */
  maxConcurrent: number
  /**
   * How long a batch waits for the end of a batch in progress before it starts beside that batch, in milliseconds. Then
   * fast batches run one after the other and are large, and a slow batch does not delay others for long. Default: 0.
   */
  headStartMs?: number
  /**
   * Number of calls with which a batch starts at once, before the end of the turn and beside one batch in progress. Then
   * the caller works on the results of one batch while the other is in progress. Default: no number.
   */
  readySize?: number
  /** Maximum time that a batch waits to start, in milliseconds. Then its calls reject. */
  maxWaitMs: number
  /** Whether a single input can have caused the failure of its batch. If so, each input is processed alone. */
  isInputError(error: unknown): boolean
}

/** A call in a batch. */
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
 * Returns a function that processes its calls in batches. A batch contains the calls of one turn of the event loop, or the
 * first `readySize` of them. If `maxConcurrent` batches are in progress, it also contains the calls that arrive until one
 * of them ends. A batch starts after its last call, so no result is older than its call.
 */
export function batchCalls<Input, Result>(
  options: BatchOptions<Input, Result>,
): (input: Input) => Promise<Result> {
  const { maxSize, maxConcurrent, maxWaitMs, headStartMs = 0, readySize } = options
  const waiting: Batch<Input, Result>[] = []
  let running = 0
  let isScheduled = false
  let headStart: NodeJS.Timeout | undefined

  function schedule(): void {
    if (isScheduled || running === maxConcurrent || waiting.length === 0) return
    if (running === 0 || headStartMs === 0) scheduleNow()
    else headStart ??= setTimeout(startBatches, headStartMs)
  }

  function scheduleNow(): void {
    isScheduled = true
    // Runs after all calls of this turn.
    setImmediate(startBatches)
  }

  function startBatches(): void {
    isScheduled = false
    clearTimeout(headStart)
    headStart = undefined
    while (running < maxConcurrent) {
      const batch = waiting.shift()
      if (batch === undefined) return
      clearTimeout(batch.timer)
      running++
      void settle(batch.calls, options).finally(() => {
        running--
        if (!isScheduled && waiting.length > 0) scheduleNow()
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
      const last = waiting.at(-1)
      const batch = last === undefined || last.calls.length === maxSize ? addBatch() : last
      batch.calls.push({ input, resolve, reject })
      if (batch.calls.length === readySize && running <= 1) startBatches()
      else schedule()
    })
}

/** Processes the calls of a batch, and settles each of them. Never rejects. */
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
