import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'

// A measurement that has a temporary directory and a process, and waits for a message that never comes.
const MEASUREMENT = `
import { receiveMessage, startBenchRun, forkProcess } from './bench/bench-run.js'
import { createTemporaryDirectory } from './bench/temporary-postgres.js'
const run = startBenchRun()
const directory = await createTemporaryDirectory(run)
const child = forkProcess(run, 'watch-feed.ts', [], { nodeOptions: ['--import', 'tsx'] })
const port = await receiveMessage(child)
console.log(JSON.stringify({ directory, pid: child.pid, port }))
await receiveMessage(child)
`

let measurement: ChildProcess | undefined
afterEach(() => void measurement?.kill('SIGKILL'))

/** Starts the measurement. Waits until its directory and its process exist. */
async function startMeasurement() {
  const args = ['--import', 'tsx', '--input-type=module', '-e', MEASUREMENT]
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore', 'ipc'] })
  measurement = started
  const exited = once(started, 'exit')
  const [line] = await once(createInterface(started.stdout as NodeJS.ReadableStream), 'line')
  const output: { directory: string; pid: number; port: number } = JSON.parse(line)
  return { started, exited, ...output }
}

/** Whether the process of the measurement still listens on its port. */
async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const isConnected = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return isConnected
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'ends its processes and deletes its directory at %s',
  async (signalName) => {
    const { started, exited, directory, port } = await startMeasurement()
    started.kill(signalName)
    expect(await exited).toEqual([1, null])
    expect(await isListening(port)).toBe(false)
    expect(existsSync(directory)).toBe(false)
  },
)

test('ends its processes and deletes its directory when the parent process ends', async () => {
  const { started, exited, directory, port } = await startMeasurement()
  started.disconnect()
  expect(await exited).toEqual([1, null])
  expect(await isListening(port)).toBe(false)
  expect(existsSync(directory)).toBe(false)
})

test('fails when a process ends before it has sent its message', async () => {
  const { exited, directory, pid } = await startMeasurement()
  process.kill(pid, 'SIGKILL')
  expect(await exited).toEqual([1, null])
  expect(existsSync(directory)).toBe(false)
})

test('leaves no process behind when it is killed', async () => {
  const { started, exited, port } = await startMeasurement()
  started.kill('SIGKILL')
  await exited
  await expect.poll(() => isListening(port), { timeout: 10_000 }).toBe(false)
})
