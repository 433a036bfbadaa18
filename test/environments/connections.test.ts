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
import { WAIT } from '../_support/wait.js'
import { listedAsWorking } from './compatibility.js'
import { PROXIES, startProxy } from './proxy-programs.js'

// The API limits the number of connections, and the number of waiting requests on a connection. A client that pipelines
// sends further requests on a connection before it has received the response to the first.

const MIB = 1024 * 1024
/** The number of the level `warn` in log lines of pino. */
const WARN_LEVEL = 40

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

interface Api {
  url: URL
  command: RunningCommand
}

interface ApiOptions {
  /** Default: the URL of the test database. */
  databaseUrl?: string
  /** The limit of open files (`ulimit -n`) of the process. Default: the limit of the tests. */
  maxOpenFiles?: number
}

/** Runs `last-logout api` until the end of the test. */
async function runApi({ databaseUrl = database.url, maxOpenFiles }: ApiOptions = {}): Promise<Api> {
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

/** Requests a path. Returns the status of the response. */
const requestStatus = async (url: URL, path: string) => (await fetch(new URL(path, url))).status

/** Waits until the API accepts a connection and responds to /health/ready with 200. */
async function waitUntilReady(url: URL): Promise<void> {
  await expect.poll(() => requestStatus(url, '/health/ready').catch(() => 0), WAIT).toBe(200)
}

/** Opens a connection. The client reads nothing from it until `resume` is called. */
async function openUnreadConnection({ hostname, port }: URL): Promise<Socket> {
  const socket = connect(Number(port), hostname).pause()
  // The socket emits an error if the server resets the connection.
  socket.on('error', () => {})
  await once(socket, 'connect')
  onTestFinished(() => {
    socket.destroy()
  })
  return socket
}

/** Reads how much physical memory a process uses. */
async function readResidentBytes({ pid }: RunningCommand): Promise<number> {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** Calls `sendLoad`. Returns the peak of the process's memory during this time, minus its memory before, in bytes. */
async function measureGrowth(command: RunningCommand, sendLoad: () => Promise<unknown>) {
  const bytesBefore = await readResidentBytes(command)
  let isSending = true
  const sending = sendLoad().finally(() => {
    isSending = false
  })
  let peakBytes = bytesBefore
  while (isSending) {
    peakBytes = Math.max(peakBytes, await readResidentBytes(command))
    // The interval of the measurements.
    await sleep(20)
  }
  await sending
  return peakBytes - bytesBefore
}

describe('a client that sends requests without waiting for responses, and reads nothing', () => {
  test(
    'the API uses less than 64 MiB more memory, and logs one warning, when a client sends 50,000 pipelined requests',
    listedAsWorking(
      'Machines and clocks',
      'clients that pipeline thousands of requests',
      'a connection with more than 16 waiting requests is closed',
    ),
    async () => {
      const proxy = await openProxy(database.url)
      onTestFinished(() => proxy.close())
      const { url, command } = await runApi({ databaseUrl: proxy.url })
      expect(await requestStatus(url, '/health/ready')).toBe(200)
      // While the proxy is frozen, requests of /health/ready wait for the database.
      proxy.freeze()
      const pipelinedRequests = 'GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5_000)
      /** Sends the requests on ten connections, one after the other. */
      const sendFlood = async () => {
        for (let connections = 0; connections < 10; connections++) {
          const socket = await openUnreadConnection(url)
          const whenClosed = once(socket, 'close')
          socket.write(pipelinedRequests)
          // The next connection follows even if the API does not close this one.
          await Promise.race([whenClosed, sleep(200)])
        }
      }
      // During this first flood, the heap grows to the size of a busy process.
      await sendFlood()
      const growthBytes = await measureGrowth(command, sendFlood)
      expect(growthBytes).toBeLessThan(64 * MIB)
      expect(await requestStatus(url, '/health/live')).toBe(200)
      const warnings = logLinesOf(command).filter(({ msg }) =>
        /too many pipelined/.test(String(msg)),
      )
      // The API logs one warning for all connections.
      expect(warnings).toEqual([
        expect.objectContaining({ level: WARN_LEVEL, address: '127.0.0.1' }),
      ])
    },
  )

  test('the API disconnects a client that sends requests slowly, and reads nothing, when the buffers of the connection are full', async () => {
    const { url, command } = await runApi()
    const socket = await openUnreadConnection(url)
    let sentRequests = 0
    while (sentRequests < 50_000 && !socket.destroyed) {
      // Two at a time, far fewer than the API accepts as waiting requests.
      sentRequests += 2
      socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2))
      // The response to this request, on another connection, shows that the API has processed the two requests.
      await requestStatus(url, '/health/live')
    }
    // At first, the buffers of the operating system take the responses.
    expect(sentRequests).toBeGreaterThan(100)
    expect(socket.destroyed).toBe(true)
    await expect.poll(() => command.output(), WAIT).toContain('too many pipelined requests')
    expect(await requestStatus(url, '/health/live')).toBe(200)
  }, 120_000)
})

describe.each(PROXIES)('behind the proxy $name', (program) => {
  test('200 concurrent requests, and 10 pipelined requests of one client, do not reach the limit of pipelined requests', async () => {
    const { url, command } = await runApi()
    const proxy = await startProxy(program, url.href)
    onTestFinished(proxy.close)
    const statuses = Array.from({ length: 200 }, () =>
      requestStatus(new URL(proxy.url), 'health/ready'),
    )
    expect(new Set(await Promise.all(statuses))).toEqual(new Set([200]))

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

// On Linux, each connection of a process is an open file.
describe('a limit of open files', () => {
  test(
    'a limit of 256 open files lowers the limit of connections to 128, and the API logs both limits',
    listedAsWorking(
      'Machines and clocks',
      'a limit of open files below the limit of connections',
      'the limit of connections is lowered, and logged',
    ),
    async () => {
      const { url, command } = await runApi({ maxOpenFiles: 256 })
      const warnings = logLinesOf(command).filter(({ msg }) => msg === 'connection limit lowered')
      expect(warnings).toEqual([
        expect.objectContaining({
          level: WARN_LEVEL,
          maxOpenFiles: 256,
          maxConnections: 128,
          // The API recommends 10,000 files for connections and 128 other files.
          advice: expect.stringContaining('10128'),
        }),
      ])
      const sockets = await Promise.all(
        Array.from({ length: 200 }, () => openUnreadConnection(url)),
      )
      // A socket that is not read does not notice that the server has closed it.
      const isOpen = (socket: Socket) => !socket.resume().destroyed
      await expect.poll(() => sockets.filter(isOpen).length, WAIT).toBe(128)
      const limitWarnings = logLinesOf(command).filter(
        ({ msg }) => msg === 'connection limit reached',
      )
      expect(limitWarnings).toHaveLength(1)
      for (const socket of sockets) socket.destroy()
      await waitUntilReady(url)
    },
  )

  test('the API logs no warning at its start if the limit of open files is high enough', async () => {
    const { command } = await runApi({ maxOpenFiles: 20_000 })
    expect(command.output()).not.toContain('connection limit')
  })

  test('the API responds again after the limit of open files was reached, and ends as usual', async () => {
    const { url, command } = await runApi()
    const openFileCount = (await readdir(`/proc/${command.pid}/fd`)).length
    /** Sets the soft limit of the running process. */
    const setLimit = async (maxOpenFiles: number) => {
      await promisify(execFile)('prlimit', [`--pid=${command.pid}`, `--nofile=${maxOpenFiles}:`])
    }
    // With the first limit, the process can open two more files: Node.js accepts new connections and closes them. With
    // the second limit, it can open none: new connections wait in the operating system.
    for (const maxOpenFiles of [openFileCount + 2, 10]) {
      await setLimit(maxOpenFiles)
      const sockets = await Promise.all(
        Array.from({ length: 100 }, () => openUnreadConnection(url)),
      )
      // Time for the process to reach the limit.
      await sleep(500)
      for (const socket of sockets) socket.destroy()
      await setLimit(1_024)
      await waitUntilReady(url)
    }
    command.kill('SIGTERM')
    expect(await command.exited).toBe(0)
  })
})
