import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { generateHistory } from '../../src/simulator/history.js'
import { finishCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'

const KEY = 'a-key-of-more-than-32-characters!'
const SECRET = 'a-secret-of-the-worker'

let database: TestDatabase
let t: TestTenant
let env: Record<string, string>

async function serve(...options: Parameters<typeof openTenant>) {
  await t?.close()
  const credentials = { clientId: 'C', clientSecret: SECRET }
  t = await openTenant(options[0], { credentials, ...options[1] })
  env.AUTH0_BASE_URL = t.simulator.url
}
beforeEach(async () => {
  database = await createTestDatabase()
  env = {
    AUTH0_DOMAIN: DOMAIN,
    AUTH0_CLIENT_ID: 'C',
    AUTH0_CLIENT_SECRET: SECRET,
    DATABASE_URL: database.url,
    REDIS_URL: '',
    API_KEYS: `test:${KEY}`,
  }
  await serve()
})
afterEach(async () => {
  await t.close()
  await database.drop()
})

interface Check {
  name: string
  status: string
  message: string
  advice?: string
}

/** Runs it, and gives the checks by name. */
async function examine(...options: string[]) {
  const { code, stdout, stderr } = await finishCommand(['doctor', '--json', ...options], env)
  expect(stdout + stderr).not.toMatch(new RegExp(`${SECRET}|${KEY}| {4}at `))
  const { checks } = JSON.parse(stdout) as { checks: Check[] }
  return { code, stderr, checks: new Map(checks.map((check) => [check.name, check])) }
}

test('print', async () => {
  t.tenant.writeStored(
    generateHistory({
      entries: 2_000,
      users: 50,
      domain: DOMAIN,
      startMs: Date.now() - 3_600_000,
      endMs: Date.now(),
    }),
  )
  const c = runCommand(['doctor'], env)
  const i = setInterval(() => console.log(c.output()), 5000)
  await c.exited
  clearInterval(i)
  const before = await finishCommand(['doctor'], env)
  console.log(before.stdout, before.stderr, before.code, t.simulator.requests.count({}))
  const migrated = await finishCommand(['migrate'], env)
  await finishCommand(['sync'], env)
  const { stdout, stderr, code } = await finishCommand(['doctor', '--probe'], env)
  console.log(migrated.stdout, stdout, stderr, code)
}, 120_000)
