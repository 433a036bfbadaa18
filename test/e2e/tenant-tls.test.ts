import { spawnSync } from 'node:child_process'
import { afterAll, describe, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase } from '../_support/database.js'
import { readUserIds } from '../_support/store.js'
import { openTenant } from '../_support/tenant.js'
import { openCertificates, openTlsFront } from '../_support/tls.js'
import { workerEnv } from '../_support/worker.js'

const WAIT = { timeout: 30_000, interval: 20 }
const isOpensslMissing = spawnSync('openssl', ['version']).error !== undefined
const certificates = await openCertificates()
afterAll(() => certificates.remove())

interface LogLine {
  level: number
  msg: string
  job?: string
  err?: { message: string }
}

/** Parses the log lines of a command. Skips a line that is not written completely yet. */
const logLinesOf = (command: RunningCommand): LogLine[] =>
  command
    .stdout()
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line))

const title = isOpensslMissing ? 'a worker (skipped: no openssl in the PATH)' : 'a worker'

// Node loads the trusted certificates when a process starts, so these tests run the built program.
describe.skipIf(isOpensslMissing)(title, { concurrent: true, timeout: 60_000 }, () => {
  test.for([
    // The name of the first certificate is right, but the worker does not trust the certificate.
    ['a self-signed certificate', 'IP:127.0.0.1', /SELF_SIGNED_CERT/],
    ['a certificate for another name', 'DNS:elsewhere.example', /ALTNAME_INVALID/],
    ['plain HTTP instead of a certificate', null, /ERR_SSL_\w+/],
  ] as const)(
    'a worker that receives %s logs the error once, sends no request, and resumes with a valid certificate',
    async ([_case, certificateName, errorCode], { expect, onTestFinished }) => {
      const database = await createTestDatabase()
      onTestFinished(() => database.drop())
      const auth0 = await openTenant()
      onTestFinished(() => auth0.close())
      const valid = await certificates.create('IP:127.0.0.1')
      const invalid =
        certificateName === null ? 'plain' : await certificates.create(certificateName)
      const front = await openTlsFront(auth0.simulator.url, invalid)
      onTestFinished(() => front.close())
      // The worker trusts the certificate for another name. So only the name of this certificate is invalid.
      const isInvalidTrusted = certificateName?.startsWith('DNS:') && invalid !== 'plain'
      const worker = runCommand(['worker'], {
        ...workerEnv(auth0, database),
        AUTH0_BASE_URL: front.url,
        NODE_EXTRA_CA_CERTS: isInvalidTrusted
          ? await certificates.bundle(valid, invalid)
          : valid.file,
      })
      onTestFinished(() => worker.kill('SIGKILL'))
      auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))

      // Level 50 of pino is `error`.
      const readErrors = () =>
        logLinesOf(worker).filter(({ level, job }) => level === 50 && job === 'poll')
      await expect.poll(readErrors, WAIT).toHaveLength(1)
      expect(readErrors()[0]?.err?.message).toMatch(errorCode)
      expect(readErrors()[0]?.err?.message).toMatch(/Check AUTH0_DOMAIN .*NODE_EXTRA_CA_CERTS/)
      expect(auth0.simulator.requests.count()).toBe(0)

      front.present(valid)
      await expect.poll(() => readUserIds(database), WAIT).toEqual(['auth0|1'])
      const readRecoveries = () =>
        logLinesOf(worker).filter(({ msg, job }) => msg === 'job recovered' && job === 'poll')
      await expect.poll(readRecoveries, WAIT).toHaveLength(1)
      worker.kill('SIGTERM')
      expect(await worker.exited).toBe(0)
      expect(readErrors()).toHaveLength(1)
      expect(worker.output()).not.toContain(auth0.simulator.credentials.clientSecret)
    },
  )
})
