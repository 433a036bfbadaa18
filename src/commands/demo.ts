import { once } from 'node:events'
import { createDemo, DEMO_DOMAIN, type Demo } from '../demo/demo.js'
import { LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import type { CommandContext } from './context.js'

/** Runs `demo`: the whole system with a simulated tenant. */
export async function runDemo(
  context: CommandContext,
  { enterprise = false }: { enterprise?: boolean },
): Promise<void> {
  const { env, stop } = context
  const createLog = (level: string) => context.createLog(level, 'stdout')
  context.print(
    '\nStarting the demo. This takes some seconds, on a slow machine half a minute:\n\n',
  )
  const onStage = (description: string) => context.print(`  starting ${description}\n`)
  const demo = await createDemo({ env, stop, createLog, enterprise, onStage })
  try {
    context.print(nameProgram(describe(demo), context.programName))
    if (!stop.aborted) await Promise.race([once(stop, 'abort'), failureOf(demo)])
    context.print('\nStopping the demo…\n')
  } finally {
    await demo.close()
    context.print('The demo has stopped. Its database is deleted.\n')
  }
}

/** Rejects when the demo fails. The message does not name the log of PostgreSQL, which is deleted with the database. */
async function failureOf({ failed }: Demo): Promise<never> {
  return failed.catch((cause) => {
    const problem = 'The PostgreSQL server of the demo has stopped by itself: start the demo again.'
    throw new LastLogoutError('DATABASE_UNAVAILABLE', problem, { cause })
  })
}

function describe(demo: Demo): string {
  const { pageUrl, apiUrl, tenantUrl, dataDir, key, gatewayKey, policy } = demo
  const { userId, issuer, audience, nginx, visitorApp } = demo
  const service = `LAST_LOGOUT_URL=${apiUrl} LAST_LOGOUT_API_KEY=${key}`
  const application = `CLIENT_ID=${visitorApp.clientId} CLIENT_SECRET=${visitorApp.clientSecret}`
  return `
last-logout is running with a simulated tenant. Open this page:

  ${pageUrl}

  1. Log in as one of two users. No password is needed.
  2. Call two APIs with the token. Only one of them uses last-logout.
  3. Log out at Auth0, or through last-logout. The page keeps the token.
  4. Wait. The page calls both APIs once a second, until one refuses the token. Its WebSocket and its event stream end too.
  5. Log in again. The API accepts the new token.

  tenant    ${tenantUrl}: a user logs in or out every second
  worker    polls the tenant's log every 2 seconds
  policy    ${policy}
  database  an embedded PostgreSQL in ${dataDir}, deleted when the demo stops
  API       ${apiUrl}
  docs      ${apiUrl}/docs (any user name; password: ${key})
  console   ${apiUrl}/console (key: ${key})
  nginx     ${nginx.url ? `${nginx.url}: an API that only nginx protects` : nginx.problem}

When did ${userId}, the first user of the page, last log out? Before the logout, last_logout_at is null:

  curl -s -H 'Authorization: Bearer ${key}' '${apiUrl}/v1/last-logout?user_id=${encodeURIComponent(userId)}'

Why is a token refused? Copy the token on the page, run this command, paste the token, and press Ctrl-D:

  AUTH0_DOMAIN=${DEMO_DOMAIN} DATA_DIR=${dataDir} last-logout explain -

To protect your own API, run it with

  ISSUER_BASE_URL=${issuer} AUDIENCE=${audience} ${service}

To end the cookie sessions of an app, run examples/express-openid-connect with

  PORT=${new URL(visitorApp.url).port} BASE_URL=${visitorApp.url} SECRET=${visitorApp.cookieSecret} ISSUER_BASE_URL=${issuer} ${application} ${service}

To protect an API with your own gateway, use the key ${gatewayKey} and tokens that you copy on the page.

Press Ctrl-C to stop the demo.

`
}
