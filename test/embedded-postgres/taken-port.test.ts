import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import * as loopback from '../../src/embedded-postgres/loopback-port.js'
import { createEmbeddedPostgres } from '../../src/embedded-postgres/server.js'
import { openFakePostgres } from '../_support/fake-postgres.js'

vi.mock(import('../../src/embedded-postgres/loopback-port.js'), { spy: true })

test('a start uses another port if a program has taken the first one, and does not send the password to this program', async () => {
  const dataDir = await fs.mkdtemp(join(tmpdir(), 'last-logout-taken-port-'))
  onTestFinished(() => fs.rm(dataDir, { recursive: true, force: true }))
  const program = await openFakePostgres('cleartext')
  onTestFinished(program.close)
  vi.mocked(loopback.findFreePort).mockResolvedValueOnce(program.port)

  const { url, close } = await createEmbeddedPostgres({ dataDir, durable: false })
  onTestFinished(close)
  expect(new URL(url).port).not.toBe(String(program.port))
  // The first message of a client contains the name of the database.
  expect(program.received()).toContain('database\0postgres')
  expect(program.received()).not.toContain(new URL(url).password)
})
