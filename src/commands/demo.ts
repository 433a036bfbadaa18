import { once } from 'node:events'
import { createDemo, type Demo } from '../demo/demo.js'
import type { CommandContext } from './context.js'

/** `demo`: everything against a simulated tenant. */
export async function demo(context: CommandContext): Promise<void> {
  const { env, stop, createLog } = context
  const running = await createDemo({ env, stop, createLog: (level) => createLog(level, 'stdout') })
  try {
    context.print(describe(running))
    if (!stop.aborted) await once(stop, 'abort')
  } finally {
    await running.close()
    context.print('The demo has ended, and its database is deleted.\n')
  }
}

function describe({ apiUrl, tenantUrl, dataDir, key, userId }: Demo): string {
  return `
last-logout is running, against a tenant that is simulated here:

  tenant    ${tenantUrl}: somebody logs in or out every second
  worker    polls the tenant's log every 2 seconds
  database  a PostgreSQL of its own in ${dataDir}, deleted at the end
  API       ${apiUrl}
  docs      ${apiUrl}/docs (any user name; password: ${key})

When did this user last log out?

  curl -s -H 'Authorization: Bearer ${key}' ${apiUrl}/v1/users/${encodeURIComponent(userId)}/last-logout

Ctrl-C ends it.

`
}
