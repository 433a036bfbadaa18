import { spawnSync } from 'node:child_process'
import { afterAll, describe, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase } from '../_support/database.js'
import { readRows } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'
import { openCertificates, openTlsFront } from '../_support/tls.js'
import { workerEnv } from '../_support/worker.js'

const PATIENCE = { timeout: 30_000, interval: 20 }
const skip = spawnSync('openssl', ['version']).error !== undefined
const certificates = await openCertificates()
afterAll(() => certificates.remove())

interface Line {
  level: number
  msg: string
  job?: string
  err?: { message: string }
}

const linesOf = (command: RunningCommand): Line[] =>
  command
    .stdout()
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line))

const title = skip ? 'a worker (skipped: no openssl in the PATH)' : 'a worker'

// The program as it is run: whom Node trusts is settled when the process starts.
describe.skipIf(skip)(title, { concurrent: true, timeout: 60_000 }, () => {
  test.for([
    ['a stranger’s certificate', 'IP:127.0.0.1', /SELF_SIGNED_CERT/],
    ['another name’s certificate', 'DNS:elsewhere.example', /ALTNAME_INVALID/],
    ['no certificate, but plain HTTP', null, /ERR_SSL_\w+/],
  ] as const)(
    'that is shown %s says so once, sends it nothing, and goes on when that is put right',
    async ([_what, name, why], { expect, onTestFinished }) => {
      const database = await createTestDatabase()
      onTestFinished(() => database.drop())
      const t = await openTenant()
      onTestFinished(() => t.close())
      const right = await certificates.create('IP:127.0.0.1')
      const wrong = name === null ? 'plain' : await certificates.create(name)
      const front = await openTlsFront(t.simulator.url, wrong)
      onTestFinished(() => front.close())
      // Trusted too where only the name is wrong.
      const isTrusted = name?.startsWith('DNS:') && wrong !== 'plain'
      const worker = runCommand(['worker'], {
        ...workerEnv(t, database),
        AUTH0_BASE_URL: front.url,
        NODE_EXTRA_CA_CERTS: isTrusted ? await certificates.bundle(right, wrong) : right.file,
      })
      onTestFinished(() => worker.kill('SIGKILL'))
      t.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))

      const errors = () =>
        linesOf(worker).filter(({ level, job }) => level === 50 && job === 'poll')
      await expect.poll(errors, PATIENCE).toHaveLength(1)
      expect(errors()[0]?.err?.message).toMatch(why)
      expect(errors()[0]?.err?.message).toMatch(/Check AUTH0_DOMAIN .*NODE_EXTRA_CA_CERTS/)
      expect(t.simulator.requests.count()).toBe(0)

      front.present(right)
      const rows = async () => (await readRows(database)).users.map(({ userId }) => userId)
      await expect.poll(rows, PATIENCE).toEqual(['auth0|1'])
      const over = () =>
        linesOf(worker).filter(({ msg, job }) => msg === 'job works again' && job === 'poll')
      await expect.poll(over, PATIENCE).toHaveLength(1)
      worker.kill('SIGTERM')
      expect(await worker.exited).toBe(0)
      expect(errors()).toHaveLength(1)
      expect(worker.output()).not.toContain(t.simulator.credentials.clientSecret)
    },
  )
})
