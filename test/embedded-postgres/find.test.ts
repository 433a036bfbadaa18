import * as fs from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findEmbeddedPostgres } from '../../src/embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../../src/embedded-postgres/server.js'

let parent: string
let dataDir: string
let lockFile: string
/** The content of the lock file while the server runs. */
let lock: string
beforeAll(async () => {
  parent = await fs.mkdtemp(join(tmpdir(), 'last-logout-find-'))
  await fs.chmod(parent, 0o711)
  dataDir = join(parent, 'data')
  lockFile = join(dataDir, 'postgres', 'postmaster.pid')
  const postgres = await createEmbeddedPostgres({ dataDir, durable: false })
  lock = await fs.readFile(lockFile, 'utf8')
  await postgres.close()
})
afterAll(() => fs.rm(parent, { recursive: true, force: true }))

/** Writes a lock file with the id of a live process that is not the server of this directory. */
async function writeLock(port: number | string) {
  const [, path, startedAt, , ...rest] = lock.split('\n')
  await fs.writeFile(lockFile, [process.pid, path, startedAt, port, ...rest].join('\n'))
  onTestFinished(() => fs.rm(lockFile, { force: true }))
}

describe('findEmbeddedPostgres', () => {
  test('reports a missing cluster for a missing directory, and for a directory without a cluster', async () => {
    expect(await findEmbeddedPostgres(join(parent, 'other'))).toEqual({ state: 'missing' })
    expect(await findEmbeddedPostgres(parent)).toEqual({ state: 'missing' })
    expect(await fs.readdir(parent)).toEqual(['data'])
  })

  test('reports whether the cluster is stopped or running', async () => {
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'stopped' })
    const { url, close } = await createEmbeddedPostgres({ dataDir, durable: false })
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'running', url })
    await close()
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'stopped' })
  })

  test.each([1, ''])(
    'reports a locked cluster when its lock file contains port "%s"',
    async (port) => {
      await writeLock(port)
      expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
    },
  )

  test('reports a locked cluster when another program uses the port', async () => {
    const other = createServer((_request, response) => void response.end('hello'))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void other.close())
    await writeLock((other.address() as AddressInfo).port)
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
  })

  test('reports a locked cluster when another PostgreSQL server uses the port', async () => {
    const other = join(parent, 'other')
    const { url, close } = await createEmbeddedPostgres({ dataDir: other, durable: false })
    await writeLock(new URL(url).port)
    expect(await findEmbeddedPostgres(dataDir)).toEqual({ state: 'locked' })
    await close()
    await fs.rm(other, { recursive: true })
  })

  test('rejects a path that is not a directory', async () => {
    const found = findEmbeddedPostgres(join(dataDir, 'password'))
    await expect(found).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringMatching(/password cannot be read: ENOTDIR.*as the user who runs/),
    })
  })
})
