import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openProxy } from '../_support/proxy.js'
import { KEY } from '../_support/served-api.js'
import { DOMAIN } from '../_support/tenant.js'
import { works } from './compatibility.js'
import { PROXIES, startProxy } from './proxy-programs.js'

const WAIT = { timeout: 20_000, interval: 50 }
const MB = 1024 * 1024

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

interface Api {
  url: URL
  command: RunningCommand
}

/** Runs `last-logout api` until the end of the test. */
async function runApi(databaseUrl = database.url, maxOpenFiles?: number): Promise<Api> {
  const env = {
    AUTH0_DOMAIN: DOMAIN,
    DATABASE_URL: databaseUrl,
    API_KEYS: `test:${KEY}`,
    PORT: '0',
  }
  const command = runCommand(['api'], env, maxOpenFiles === undefined ? {} : { maxOpenFiles })
  onTestFinished(async () => {
    command.kill('SIGKILL')
    await command.exited
  })
  const served = () => linesOf(command).find(({ msg }) => msg === 'serving')?.url
  await expect.poll(served, WAIT).toBeTypeOf('string')
  return { url: new URL(String(served())), command }
}

const linesOf = (command: RunningCommand): Record<string, unknown>[] =>
  command
    .stdout()
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line))

const statusOf = async (url: URL, path: string) => (await fetch(new URL(path, url))).status

/** Opens a connection that reads nothing. */
async function openUnread({ hostname, port }: URL): Promise<Socket> {
  const socket = connect(Number(port), hostname).pause()
  // A reset by the server is emitted as an error.
  socket.on('error', () => {})
  await once(socket, 'connect')
  onTestFinished(() => void socket.destroy())
  return socket
}

async function readResidentBytes({ pid }: RunningCommand): Promise<number> {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** Runs `load`, and returns how much the process grew meanwhile, at its peak. */
async function measureGrowth(command: RunningCommand, load: () => Promise<unknown>) {
  const before = await readResidentBytes(command)
  let isRunning = true
  const running = load().finally(() => {
    isRunning = false
  })
  let peak = before
  while (isRunning) {
    peak = Math.max(peak, await readResidentBytes(command))
    await sleep(20)
  }
  await running
  return peak - before
}

describe('a client that pipelines requests and reads nothing', () => {
  test(
    'without a key is disconnected, and 50,000 requests do not grow the process',
    works(
      'Machines and clocks',
      'clients that pipeline thousands of requests',
      'a connection with more than 16 waiting requests is closed',
    ),
    async () => {
      const proxy = await openProxy(database.url)
      onTestFinished(() => proxy.close())
      const { url, command } = await runApi(proxy.url)
      expect(await statusOf(url, '/health/ready')).toBe(200)
      // From now on these requests wait for the database.
      proxy.freeze()
      const requests = 'GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5_000)
      const flood = async () => {
        for (let n = 0; n < 10; n++) {
          const socket = await openUnread(url)
          const closed = once(socket, 'close')
          socket.write(requests)
          await Promise.race([closed, sleep(200)])
        }
      }
      // The heap grows to the size that a busy process has.
      await flood()
      const growth = await measureGrowth(command, flood)
      expect(growth).toBeLessThan(64 * MB)
      expect(await statusOf(url, '/health/live')).toBe(200)
      const closed = linesOf(command).filter(({ msg }) => /too many pipelined/.test(String(msg)))
      expect(closed).toEqual([expect.objectContaining({ level: 40, address: '127.0.0.1' })])
    },
  )

  test('that sends them slowly is disconnected when the buffers of the connection are full', async () => {
    const { url, command } = await runApi()
    const socket = await openUnread(url)
    let sent = 0
    for (; sent < 50_000 && !socket.destroyed; sent += 2) {
      socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2))
      // A response to a later request: these have been processed.
      await statusOf(url, '/health/live')
    }
    expect(sent).toBeGreaterThan(100)
    expect(socket.destroyed).toBe(true)
    await expect.poll(() => command.output(), WAIT).toContain('too many pipelined requests')
    expect(await statusOf(url, '/health/live')).toBe(200)
  }, 120_000)
})

describe.each(PROXIES)('$name', (program) => {
  test('does not exceed the limit of pipelined requests, whatever its clients do', async () => {
    const { url, command } = await runApi()
    const proxy = await startProxy(program, url.href)
    onTestFinished(proxy.close)
    const many = Array.from({ length: 200 }, () => statusOf(new URL(proxy.url), 'health/ready'))
    expect(new Set(await Promise.all(many))).toEqual(new Set([200]))

    const socket = await openUnread(new URL(proxy.url))
    const path = new URL('health/live', proxy.url).pathname
    let received = ''
    socket.setEncoding('utf8').on('data', (chunk) => {
      received += chunk
    })
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(10))
    socket.resume()
    await expect.poll(() => received.match(/HTTP\/1\.1 200/g)?.length, WAIT).toBe(10)
    expect(command.output()).not.toContain('pipelined')
  })
})

describe('a limit of open files', () => {
  test(
    'below the limit of connections lowers that, and is logged with both figures',
    works(
      'Machines and clocks',
      'a limit of open files below the limit of connections',
      'the limit of connections is lowered, and logged',
    ),
    async () => {
      const { url, command } = await runApi(database.url, 256)
      const lowered = linesOf(command).filter(({ msg }) => msg === 'connection limit lowered')
      expect(lowered).toEqual([
        expect.objectContaining({
          level: 40,
          maxOpenFiles: 256,
          maxConnections: 128,
          advice: expect.stringContaining('10128'),
        }),
      ])
      const sockets = await Promise.all(Array.from({ length: 200 }, () => openUnread(url)))
      const isOpen = (socket: Socket) => !socket.resume().destroyed
      await expect.poll(() => sockets.filter(isOpen).length, WAIT).toBe(128)
      const reached = () => linesOf(command).filter(({ msg }) => msg === 'connection limit reached')
      expect(reached()).toHaveLength(1)
      for (const socket of sockets) socket.destroy()
      await expect.poll(() => statusOf(url, '/health/ready').catch(() => 0), WAIT).toBe(200)
    },
  )

  test('that suffices is not logged', async () => {
    const { command } = await runApi(database.url, 20_000)
    expect(command.output()).not.toContain('connection limit')
  })

  test('that is reached neither ends nor wedges the process', async () => {
    const { url, command } = await runApi()
    const open = (await readdir(`/proc/${command.pid}/fd`)).length
    const limit = async (files: number) => {
      await promisify(execFile)('prlimit', [`--pid=${command.pid}`, `--nofile=${files}:`])
    }
    // With a descriptor to spare, Node.js accepts and closes the connections; without one, they wait.
    for (const files of [open + 2, 10]) {
      await limit(files)
      const sockets = await Promise.all(Array.from({ length: 100 }, () => openUnread(url)))
      await sleep(500)
      for (const socket of sockets) socket.destroy()
      await limit(1_024)
      await expect.poll(() => statusOf(url, '/health/ready').catch(() => 0), WAIT).toBe(200)
    }
    command.kill('SIGTERM')
    expect(await command.exited).toBe(0)
  })
})
