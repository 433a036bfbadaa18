import { type BenchRun, forkProcess, receiveMessage } from '../bench-run.js'

/** The costs of a client that has loaded all logouts. */
export interface ClientLoad {
  /** Duration of the load. */
  seconds: number
  /** Memory that the client takes after the load: heap and array buffers, after a garbage collection. */
  bytes: number
}

/** The costs of a client that has loaded logouts of `users` users and as many sessions. */
export interface ClientResult extends ClientLoad {
  users: number
}

/** Measures how a client loads prepared events, so that the time does not include the work of an API. */
export async function measureClient(run: BenchRun, users: number): Promise<ClientResult> {
  const feed = forkProcess(run, 'feed-process.ts', [String(users)])
  const port = await receiveMessage<number>(feed)
  return { users, ...(await loadClient(run, `http://127.0.0.1:${port}`, users)) }
}

/** Starts a client in its own process, and measures how it loads the change feed at `url`. */
export async function loadClient(run: BenchRun, url: string, users: number): Promise<ClientLoad> {
  const child = forkProcess(run, 'growth/client-process.ts', [url, String(users)], {
    nodeOptions: [...process.execArgv, '--expose-gc'],
  })
  const load = await receiveMessage<ClientLoad>(child)
  child.kill()
  const bytesEach = (load.bytes / (2 * users)).toFixed(0)
  console.log(
    `a client loaded ${users} users and sessions in ${load.seconds.toFixed(1)} s: ${bytesEach} bytes each`,
  )
  return load
}
