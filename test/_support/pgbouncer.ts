import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { vi } from 'vitest'
import { spawnProgram } from '../../src/child-program.js'
import { chooseServerUser } from '../../src/embedded-postgres/binaries.js'
import { withClient } from '../../src/pg/client.js'
import { findUnusedPort } from './port.js'
import { WAIT } from './wait.js'

/** A running PgBouncer, a proxy that pools the connections to a PostgreSQL database. */
export interface PgBouncer {
  /** The URL of the database through PgBouncer. */
  url: string
  /** Runs an administration command of PgBouncer, such as `RECONNECT`. */
  command(sql: string): Promise<void>
  close(): Promise<void>
}

/** Settings of PgBouncer, as in `pgbouncer.ini`. The default of `pool_mode` is `transaction`. */
type PgBouncerSettings = Record<string, string | number> & {
  pool_mode?: 'session' | 'transaction' | 'statement'
}

/** Starts a PgBouncer that connects to the database at `databaseUrl`. PgBouncer must be installed. */
export async function startPgBouncer(
  databaseUrl: string,
  settings: PgBouncerSettings = {},
): Promise<PgBouncer> {
  const user = await chooseServerUser(null)
  const dir = await fs.mkdtemp(join(tmpdir(), 'last-logout-pgbouncer-'))
  const port = await findUnusedPort()
  const iniFile = join(dir, 'pgbouncer.ini')
  await fs.writeFile(iniFile, toIniFile(new URL(databaseUrl), port, settings))
  if (user) await fs.chown(iniFile, user.uid, user.gid)
  if (user) await fs.chown(dir, user.uid, user.gid)
  const log = await fs.open(join(dir, 'log'), 'a')
  // On Debian, only the PATH of root contains the directory of pgbouncer.
  const command = ['/usr/bin/env', 'PATH=/usr/local/sbin:/usr/sbin:/usr/bin', 'pgbouncer', iniFile]
  const program = await spawnProgram(command, log.fd, user)
  await log.close()
  const url = `postgresql://anyone@127.0.0.1:${port}/pooled`
  await vi
    .waitFor(() => withClient(url, (client) => client.query('SELECT 1')), WAIT)
    .catch((cause) => {
      throw new Error('PgBouncer does not respond: install the Debian package pgbouncer', { cause })
    })
  return {
    url,
    async command(sql) {
      const client = new pg.Client({ connectionString: url.replace(/pooled$/, 'pgbouncer') })
      await client.connect()
      await client.query(sql)
      await client.end()
    },
    async close() {
      await program.stop()
      await fs.rm(dir, { recursive: true })
    },
  }
}

function toIniFile(
  { hostname, port, pathname, username, password }: URL,
  poolerPort: string,
  settings: PgBouncerSettings,
): string {
  const connectionString = `host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${username}`
  const lines = Object.entries({ pool_mode: 'transaction', ...settings }).map(
    ([name, value]) => `${name} = ${value}`,
  )
  return `
[databases]
pooled = ${connectionString}${password && ` password=${password}`}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${poolerPort}
unix_socket_dir =
auth_type = any
admin_users = anyone
${lines.join('\n')}
`
}
