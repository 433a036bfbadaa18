import type { ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from './client.js'
import { eventText, freshnessData, openScriptedFeed } from './scripted-feed.js'

/** The age of stale data. It exceeds the maximum that the client accepts. */
const STALE_LAG_MS = 600_000

/** A change feed that the test controls, and a client that reads the feed. The client has `onUnknown: 'deny'`. */
export interface ControlledFeed {
  url: string
  client: LastLogoutClient
  /**
   * Sends a logout of the session. Without `sessionId`, sends a logout of all sessions of the user.
   *
   * @param userId `null` for a session whose user the log does not name.
   */
  logOut(userId: string | null, sessionId?: string): void
  /** Makes the data of the feed stale (too old) or fresh. With stale data, the outcome of a check is `unknown`. */
  setStale(isStale: boolean): void
}

/** Opens a change feed and a client until the test ends. */
export async function openControlledFeed(): Promise<ControlledFeed> {
  const responses = new Set<ServerResponse>()
  let lagMs = 0
  const freshnessEvent = () =>
    eventText('freshness', freshnessData(Date.now(), { lag_ms: lagMs }), 'f.1')
  const feed = await openScriptedFeed((response) => {
    responses.add(response)
    response.write(freshnessEvent())
  })
  const client = openClient(feed.url)
  onTestFinished(async () => {
    await client.close()
    await feed.close()
  })
  await client.ready()
  const sendToAll = (text: string) => {
    for (const response of responses) response.write(text)
  }
  return {
    url: feed.url,
    client,
    logOut(user_id, session_id) {
      const at = new Date().toISOString()
      const change =
        session_id === undefined
          ? { kind: 'user', user_id, at, all_sessions_at: at, type: 'slo' }
          : { kind: 'session', session_id, user_id, at, ended: true, type: 'slo' }
      sendToAll(eventText('change', change))
    },
    setStale(isStale) {
      lagMs = isStale ? STALE_LAG_MS : 0
      sendToAll(freshnessEvent())
    },
  }
}

/** Returns the claims of a token that was issued a minute ago and expires in an hour. */
export function liveClaims(sub: string, claims: object = {}): object {
  const now = Math.floor(Date.now() / 1000)
  return { sub, iat: now - 60, exp: now + 3_600, ...claims }
}
