import type { Closers } from '../async/closers.js'
import { createLastLogoutClient } from '../client/index.js'
import type { DemoKeys } from './configure.js'
import { serveOrderSocket } from './live-connections.js'
import type { ApiBehindNginx } from './nginx.js'
import type { LoginInfo } from './open-login.js'
import type { OpenServer } from './open-server.js'
import { createOrderDesk } from './order-desk.js'

/** The dependencies of {@link openApp}. */
export interface DemoAppDeps {
  /** The server of the page and the protected APIs. */
  page: OpenServer
  login: LoginInfo
  /** URL of the API of last-logout. */
  apiUrl: string
  keys: Pick<DemoKeys, 'demo' | 'app'>
  nginx: ApiBehindNginx
  /** Whether the login Action receives the fields of Enterprise plans. */
  enterprise: boolean
}

/** Serves an app that uses last-logout: a page, and protected APIs. */
export async function openApp(deps: DemoAppDeps, closers: Closers): Promise<void> {
  const { page, login, apiUrl, keys, nginx, enterprise } = deps
  const client = createLastLogoutClient({ url: apiUrl, apiKey: keys.app, onUnknown: 'deny' })
  closers.push(() => client.close())
  await client.ready()
  const service = { serviceUrl: apiUrl, apiKey: keys.demo }
  const sockets = await serveOrderSocket({ ...login, client })
  closers.push(sockets.close)
  const desk = { ...login, ...service, client, nginx, enterprise, socketUrl: sockets.url }
  page.server.on('request', createOrderDesk(desk))
}
