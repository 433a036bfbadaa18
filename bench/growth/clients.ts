import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

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
export async function measureClient(users: number): Promise<ClientResult> {
  const feed = fork(new URL('../feed-process.ts', import.meta.url), [String(users)])
  try {
    const port = await readMessage<number>(feed)
    return { users, ...(await loadClient(`http://127.0.0.1:${port}`, users)) }
  } finally {
    feed.kill()
  }
}

/** Starts a client in its own process, and measures how it loads the change feed at `url`. */
export async function loadClient(url: string, users: number): Promise<ClientLoad> {
  const child = fork(new URL('./client-process.ts', import.meta.url), [url, String(users)], {
    execArgv: [...process.execArgv, '--expose-gc'],
  })
  try {
    const load = await readMessage<ClientLoad>(child)
    const bytesEach = (load.bytes / (2 * users)).toFixed(0)
    console.log(
      `a client loaded ${users} users and sessions in ${load.seconds.toFixed(1)} s: ${bytesEach} bytes each`,
    )
    return load
  } finally {
    child.kill()
  }
}

/**
 * Returns the next message of a process.
 *
 * @throws `Error` if the process exits before it sends a message.
 */
export async function readMessage<Message>(child: ChildProcess): Promise<Message> {
  const finished = new AbortController()
  const { signal } = finished
  const exited = once(child, 'exit', { signal }).then(([status]) => {
    throw new Error(
      `${child.spawnargs.slice(1).join(' ')} exited with ${status}: see its output above`,
    )
  })
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), exited])
    return message
  } finally {
    // The abort ends both waits, so `exited` rejects without a handler.
    exited.catch(() => undefined)
    finished.abort()
  }
}
