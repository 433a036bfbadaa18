import { once } from 'node:events'
import { createDemo, type Demo } from '../demo/demo.js'
import type { CommandContext } from './context.js'

/** Runs `demo`: the whole system with a simulated tenant. */
export async function runDemo(
  context: CommandContext,
  { enterprise = false }: { enterprise?: boolean },
): Promise<void> {
  const { env, stop } = context
  const createLog = (level: string) => context.createLog(level, 'stdout')
  const demo = await createDemo({ env, stop, createLog, enterprise })
  try {
    context.print(describe(demo))
    if (!stop.aborted) await once(stop, 'abort')
    context.print('\nStopping the demo…\n')
  } finally {
    await demo.close()
    context.print('The demo has stopped. Its database is deleted.\n')
  }
}

function describe(demo: Demo): string {
  const { pageUrl, apiUrl, tenantUrl, dataDir, key, policy, userId, issuer, audience } = demo
  return `
last-logout is running with a simulated tenant. Log in and out in a browser:

  ${pageUrl}

  tenant    ${tenantUrl}: a user logs in or out every second
  worker    polls the tenant's log every 2 seconds
  policy    ${policy}
  database  an embedded PostgreSQL in ${dataDir}, deleted when the demo stops
  API       ${apiUrl}
  docs      ${apiUrl}/docs (any user name; password: ${key})

When did this user last log out?

  curl -s -H 'Authorization: Bearer ${key}' '${apiUrl}/v1/last-logout?user_id=${encodeURIComponent(userId)}'

To protect your own API, run it with

  ISSUER_BASE_URL=${issuer} AUDIENCE=${audience} LAST_LOGOUT_URL=${apiUrl} LAST_LOGOUT_API_KEY=${key}

Press Ctrl-C to stop the demo.

`
}
