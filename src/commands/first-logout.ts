import { setTimeout as sleep } from 'node:timers/promises'
import { abortedError, LastLogoutError } from '../errors.js'

/** Default interval between two reads of the change feed, in milliseconds. */
const POLL_INTERVAL_MS = 500

/** Time from the issue of the token that `isRefused` checks to the logout, in seconds. */
const TOKEN_AGE_SECONDS = 60

/** Options of {@link followLogouts}. */
export interface FirstLogoutOptions {
  apiUrl: string
  /** A key with the roles `feed` and `check`. */
  apiKey: string
  /** Timeout of `waitUntilRead` and of `waitForLogout`, in milliseconds. */
  timeoutMs: number
  /** Default: {@link POLL_INTERVAL_MS}. */
  pollIntervalMs?: number
  signal: AbortSignal
}

/** A logout in the change feed. */
interface FeedLogout {
  kind: string
  user_id: string
  at: string
}

interface Page {
  changes: FeedLogout[]
  cursor: string
  more: boolean
  as_of: string | null
}

/** Reads logouts from the change feed of the API, and checks tokens. */
export interface LogoutFollower {
  /** Waits until the log has been read to its end. */
  waitUntilRead(): Promise<void>
  /** Waits for the next logout of a user. Must be called after {@link waitUntilRead}. */
  waitForLogout(): Promise<FeedLogout>
  /** Checks whether the API refuses a token that was issued to the user before the logout. */
  isRefused(logout: FeedLogout): Promise<boolean>
}

/**
 * Creates a follower of the change feed. Its functions throw `UNFINISHED` after the timeout, and `ABORTED` when the
 * signal aborts.
 */
export function followLogouts(options: FirstLogoutOptions): LogoutFollower {
  const { apiUrl, apiKey, timeoutMs, pollIntervalMs = POLL_INTERVAL_MS, signal } = options
  let cursor: string | undefined

  async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
    const response = await fetch(new URL(path, apiUrl), { ...init, headers, signal })
    if (response.ok) return (await response.json()) as T
    const message = `The API of this machine responds with ${response.status} to ${path.split('?')[0]}. Run \`last-logout doctor\`, which checks the database.`
    throw new LastLogoutError('UNHEALTHY', message, { status: response.status })
  }

  async function readPage(): Promise<Page> {
    const query = cursor === undefined ? '' : `?after=${encodeURIComponent(cursor)}`
    const page = await request<Page>(`/v1/changes${query}`)
    cursor = page.cursor
    return page
  }

  /** Reads pages until `find` returns a value. After the timeout, throws an error that begins with `failure`. */
  async function readUntil<T>(find: (page: Page) => T | undefined, failure: string): Promise<T> {
    const deadline = performance.now() + timeoutMs
    try {
      while (performance.now() < deadline) {
        const page = await readPage()
        const found = find(page)
        if (found !== undefined) return found
        if (!page.more) await sleep(pollIntervalMs, undefined, { signal })
      }
    } catch (error) {
      throw signal.aborted ? abortedError(error) : error
    }
    const message = `${failure} within ${timeoutMs / 1000} s. Run \`last-logout init\` again: it continues with .env. With --wait 30m, it waits for longer.`
    throw new LastLogoutError('UNFINISHED', message)
  }

  return {
    async waitUntilRead() {
      const find = ({ as_of, more }: Page) => (as_of !== null && !more ? true : undefined)
      await readUntil(find, 'The log was not read to its end')
    },
    waitForLogout: () =>
      readUntil(
        ({ changes }) => changes.find(({ kind }) => kind === 'user'),
        'No logout of a user appeared',
      ),
    async isRefused({ user_id: sub, at }) {
      const iat = Math.floor(Date.parse(at) / 1000) - TOKEN_AGE_SECONDS
      const body = JSON.stringify({ claims: { sub, iat } })
      const { revoked } = await request<{ revoked: boolean }>('/v1/check', { method: 'POST', body })
      return revoked
    },
  }
}
