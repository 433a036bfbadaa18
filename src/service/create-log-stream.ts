import type { Config } from '../config/config.js'
import type { LogStream } from '../http/log-stream.js'
import type { LastLogoutStore } from '../ports.js'
import { receive } from '../sync/receive.js'

/** Creates the receiver of Auth0's log stream, a webhook. Returns `undefined` without a `LOG_STREAM_TOKEN`. */
export function createLogStream({
  config,
  store,
}: {
  config: Config
  store: LastLogoutStore
}): LogStream | undefined {
  const { logStreamToken: token } = config.http
  const types = new Set(config.eventTypes)
  return token === undefined
    ? undefined
    : { token, receive: (body, signal) => receive({ store, types }, body, signal) }
}
