import * as fs from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findEmbeddedPostgres } from '../../src/embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../../src/embedded-postgres/server.js'
import { openFakePostgres } from '../_support/fake-postgres.js'

let parentDir: string
let dataDir: string
let lockFile: string
/** The content of the lock file of a running server. */
let lockContent: string
beforeAll(async () => {
  parentDir = await fs.mkdtemp(join(tmpdir(), 'last-logout-find-'))
  await fs.chmod(parentDir, 0o711)
  dataDir = join(parentDir, 'data')
  lockFile = join(dataDir, 'postgres', 'postmaster.pid')
  const postgres = await createEmbeddedPostgres({ dataDir, durable: false })
  lockContent = await fs.readFile(lockFile, 'utf8')
  await postgres.close()
})
afterAll(() => fs.rm(parentDir, { recursive: true, force: true }))

/** Writes a lock file with the id of this process, which is not a PostgreSQL server. */
async function writeLock(port: number | string) {
  // The first four lines are the process id, the directory, the start time and the port.
  const [, path, startedAt, , ...otherLines] = lockContent.split('\n')
  const lines = [process.pid, path, startedAt, port, ...otherLines]
  await fs.writeFile(lockFile, lines.join('\n'))
  onTestFinished(() => fs.rm(lockFile, { force: true }))
}

// A cluster is `locked` if its lock file names a running process, but no server of the cluster accepts connections.
describe('findEmbeddedPostgres', () => {
  test('findEmbeddedPostgres reports `missing` for a missing directory and for a directory without a cluster', async () => {
    expect(await findEmbeddedPostgres(join(parentDir, 'other'))).toEqual({ state: 'missing' })
    expect(await findEmbeddedPostgres(parentDir)).toEqual({ state: 'missing' })
    expect(await fs.readdir(parentDir)).toEqual(['data'])
  })

  test('findEmbeddedPostgres reports whether the cluster is stopped or running', async () => {
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'stopped' })
    const { url, close } = await createEmbeddedPostgres({ dataDir, durable: false })
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'running', url })
    await close()
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'stopped' })
  })

  test.each([1, ''])(
    'findEmbeddedPostgres reports `locked` if no server listens on the port in the lock file: "%s"',
    async (port) => {
      await writeLock(port)
      expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
    },
  )

  test('findEmbeddedPostgres reports `locked` if another program uses the port in the lock file', async () => {
    const otherProgram = createServer((_request, response) => void response.end('hello'))
    await new Promise<void>((resolve) => otherProgram.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void otherProgram.close())
    await writeLock((otherProgram.address() as AddressInfo).port)
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
  })

  test('findEmbeddedPostgres reports `locked` if the server of another cluster uses the port in the lock file', async () => {
    const otherDir = join(parentDir, 'other')
    const { url, close } = await createEmbeddedPostgres({ dataDir: otherDir, durable: false })
    await writeLock(new URL(url).port)
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
    await close()
    await fs.rm(otherDir, { recursive: true })
  })

  test.each(['cleartext', 'none'] as const)(
    'findEmbeddedPostgres reports `locked` if a program on the port in the lock file does not know the password, and does not send the password to it: %s',
    async (authentication) => {
      const program = await openFakePostgres(authentication)
      onTestFinished(program.close)
      await writeLock(program.port)
      expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
      expect(program.received()).toContain('database')
      const password = await fs.readFile(join(dataDir, 'password'), 'utf8')
      expect(program.received()).not.toContain(password)
    },
  )

  test('findEmbeddedPostgres rejects if a program on the port in the lock file accepts no connection', async () => {
    const program = await openFakePostgres('starting')
    onTestFinished(program.close)
    await writeLock(program.port)
    await expect(findEmbeddedPostgres(dataDir)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringContaining('SQLSTATE 57P03'),
    })
  })

  test('findEmbeddedPostgres rejects a database whose password is missing', async () => {
    await writeLock(1)
    const file = join(dataDir, 'password')
    await fs.rename(file, `${file}.moved`)
    onTestFinished(() => fs.rename(`${file}.moved`, file))
    await expect(findEmbeddedPostgres(dataDir)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringMatching(/^The data directory \S+ has a database, but \S+ is missing/),
    })
  })

  test('findEmbeddedPostgres rejects a path that is not a directory', async () => {
    const search = findEmbeddedPostgres(join(dataDir, 'password'))
    await expect(search).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringMatching(/password cannot be read: ENOTDIR.*as the user who runs/),
    })
  })
})
