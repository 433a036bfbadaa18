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
import { worksIn } from './compatibility.js'
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

/**
 * Runs `last-logout api` until the end of the test.
 *
 * @param maxOpenFiles The limit of open files (`ulimit -n`) of the process. Default: the limit of the tests.
 */
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
  const readUrl = () => logLinesOf(command).find(({ msg }) => msg === 'serving')?.url
  await expect.poll(readUrl, WAIT).toBeTypeOf('string')
  return { url: new URL(String(readUrl())), command }
}

/** Parses the log lines of a command. Skips a line that is not written completely yet. */
const logLinesOf = (command: RunningCommand): Record<string, unknown>[] =>
  command
    .stdout()
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line))

const statusOf = async (url: URL, path: string) => (await fetch(new URL(path, url))).status

/** Opens a connection whose client reads nothing. */
async function openUnreadConnection({ hostname, port }: URL): Promise<Socket> {
  const socket = connect(Number(port), hostname).pause()
  // The socket emits an error if the server resets the connection.
  socket.on('error', () => {})
  await once(socket, 'connect')
  onTestFinished(() => void socket.destroy())
  return socket
}

/** Reads how much physical memory a process uses. */
async function readResidentBytes({ pid }: RunningCommand): Promise<number> {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** Runs `load`. Returns by how many bytes the memory of the process grew at most during this time. */
async function measureGrowth(command: RunningCommand, load: () => Promise<unknown>) {
  const bytesBefore = await readResidentBytes(command)
  let isRunning = true
  const running = load().finally(() => {
    isRunning = false
  })
  let peakBytes = bytesBefore
  while (isRunning) {
    peakBytes = Math.max(peakBytes, await readResidentBytes(command))
    await sleep(20)
  }
  await running
  return peakBytes - bytesBefore
}

describe('a client that sends requests without waiting for responses, and reads nothing', () => {
  test(
    'a client without a key is disconnected, and its 50,000 pipelined requests do not increase the memory of the API',
    worksIn(
      'Machines and clocks',
      'clients that pipeline thousands of requests',
      'a connection with more than 16 waiting requests is closed',
    ),
    async () => {
      const proxy = await openProxy(database.url)
      onTestFinished(() => proxy.close())
      const { url, command } = await runApi(proxy.url)
      expect(await statusOf(url, '/health/ready')).toBe(200)
      // While the proxy is frozen, requests of /health/ready wait for the database.
      proxy.freeze()
      const pipelinedRequests = 'GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5_000)
      const sendFlood = async () => {
        for (let connection = 0; connection < 10; connection++) {
          const socket = await openUnreadConnection(url)
          const whenClosed = once(socket, 'close')
          socket.write(pipelinedRequests)
          await Promise.race([whenClosed, sleep(200)])
        }
      }
      // During this first flood, the heap grows to the size of a busy process.
      await sendFlood()
      const growthBytes = await measureGrowth(command, sendFlood)
      expect(growthBytes).toBeLessThan(64 * MB)
      expect(await statusOf(url, '/health/live')).toBe(200)
      const warnings = logLinesOf(command).filter(({ msg }) =>
        /too many pipelined/.test(String(msg)),
      )
      // The API logs one warning for all connections. Level 40 of pino is `warn`.
      expect(warnings).toEqual([expect.objectContaining({ level: 40, address: '127.0.0.1' })])
    },
  )

  test('a client that sends requests slowly, and reads nothing, is disconnected when the buffers of its connection are full', async () => {
    const { url, command } = await runApi()
    const socket = await openUnreadConnection(url)
    let sentRequests = 0
    for (; sentRequests < 50_000 && !socket.destroyed; sentRequests += 2) {
      socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2))
      // A response to this later request shows that the API has processed the requests above.
      await statusOf(url, '/health/live')
    }
    // The buffers first take the responses to many requests.
    expect(sentRequests).toBeGreaterThan(100)
    expect(socket.destroyed).toBe(true)
    await expect.poll(() => command.output(), WAIT).toContain('too many pipelined requests')
    expect(await statusOf(url, '/health/live')).toBe(200)
  }, 120_000)
})

describe.each(PROXIES)('behind $name', (program) => {
  test('requests of many clients, and pipelined requests of one client, do not exceed the limit of pipelined requests', async () => {
    const { url, command } = await runApi()
    const proxy = await startProxy(program, url.href)
    onTestFinished(proxy.close)
    const responses = Array.from({ length: 200 }, () =>
      statusOf(new URL(proxy.url), 'health/ready'),
    )
    expect(new Set(await Promise.all(responses))).toEqual(new Set([200]))

    const socket = await openUnreadConnection(new URL(proxy.url))
    const path = new URL('health/live', proxy.url).pathname
    let receivedText = ''
    socket.setEncoding('utf8').on('data', (chunk) => {
      receivedText += chunk
    })
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(10))
    socket.resume()
    await expect.poll(() => receivedText.match(/HTTP\/1\.1 200/g)?.length, WAIT).toBe(10)
    expect(command.output()).not.toContain('pipelined')
  })
})

describe('a limit of open files', () => {
  test(
    'a low limit of open files lowers the limit of connections, and the API logs both limits',
    worksIn(
      'Machines and clocks',
      'a limit of open files below the limit of connections',
      'the limit of connections is lowered, and logged',
    ),
    async () => {
      const { url, command } = await runApi(database.url, 256)
      const warnings = logLinesOf(command).filter(({ msg }) => msg === 'connection limit lowered')
      expect(warnings).toEqual([
        expect.objectContaining({
          level: 40,
          maxOpenFiles: 256,
          maxConnections: 128,
          // The API recommends 10,000 files for connections and 128 other files.
          advice: expect.stringContaining('10128'),
        }),
      ])
      // More connections than the lowered limit of 128.
      const sockets = await Promise.all(
        Array.from({ length: 200 }, () => openUnreadConnection(url)),
      )
      const isOpen = (socket: Socket) => !socket.resume().destroyed
      await expect.poll(() => sockets.filter(isOpen).length, WAIT).toBe(128)
      const readWarnings = () =>
        logLinesOf(command).filter(({ msg }) => msg === 'connection limit reached')
      expect(readWarnings()).toHaveLength(1)
      for (const socket of sockets) socket.destroy()
      await expect.poll(() => statusOf(url, '/health/ready').catch(() => 0), WAIT).toBe(200)
    },
  )

  test('the API logs no warning if the limit of open files is high enough', async () => {
    const { command } = await runApi(database.url, 20_000)
    expect(command.output()).not.toContain('connection limit')
  })

  test('the API continues after the limit of open files was reached', async () => {
    const { url, command } = await runApi()
    const openFileCount = (await readdir(`/proc/${command.pid}/fd`)).length
    const setLimit = async (maxOpenFiles: number) => {
      await promisify(execFile)('prlimit', [`--pid=${command.pid}`, `--nofile=${maxOpenFiles}:`])
    }
    // With the first limit, two file descriptors are free: Node.js accepts new connections and closes them. With the
    // second limit, none is free: new connections wait.
    for (const maxOpenFiles of [openFileCount + 2, 10]) {
      await setLimit(maxOpenFiles)
      const sockets = await Promise.all(
        Array.from({ length: 100 }, () => openUnreadConnection(url)),
      )
      await sleep(500)
      for (const socket of sockets) socket.destroy()
      await setLimit(1_024)
      await expect.poll(() => statusOf(url, '/health/ready').catch(() => 0), WAIT).toBe(200)
    }
    command.kill('SIGTERM')
    expect(await command.exited).toBe(0)
  })
})
