import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { chooseServerUser, spawnProgram } from '../../src/embedded-postgres/binaries.js'
import { withClient } from '../../src/pg/client.js'
import { freePort } from './port.js'
import { WAIT } from './wait.js'

/** A running PgBouncer that pools connections to a database in transaction mode. */
export interface PgBouncer {
  /** The URL of the database through PgBouncer. */
  url: string
  close(): Promise<void>
}

/** Starts PgBouncer before the database of a URL. PgBouncer must be installed. */
export async function startPgBouncer(databaseUrl: string): Promise<PgBouncer> {
  const user = await chooseServerUser(null)
  const dir = await fs.mkdtemp(join(tmpdir(), 'last-logout-pgbouncer-'))
  const port = await freePort()
  const file = join(dir, 'pgbouncer.ini')
  await fs.writeFile(file, describePooler(new URL(databaseUrl), port))
  if (user) await fs.chown(file, user.uid, user.gid)
  if (user) await fs.chown(dir, user.uid, user.gid)
  const log = await fs.open(join(dir, 'log'), 'a')
  // Debian installs pgbouncer in a directory that is only in root's PATH.
  const command = ['/usr/bin/env', 'PATH=/usr/local/sbin:/usr/sbin:/usr/bin', 'pgbouncer', file]
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
    async close() {
      await program.stop()
      await fs.rm(dir, { recursive: true })
    },
  }
}

function describePooler(
  { hostname, port, pathname, username, password }: URL,
  ownPort: string,
): string {
  const target = `host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${username}`
  return `
[databases]
pooled = ${target}${password && ` password=${password}`}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${ownPort}
unix_socket_dir =
auth_type = any
pool_mode = transaction
`
}
