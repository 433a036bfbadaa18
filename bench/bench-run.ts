import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type Closers, createClosers } from '../src/async/closers.js'

/** A running measurement. */
export interface BenchRun {
  /** Receives a function for each thing that the measurement opens. They run at its end, also after a signal. */
  closers: Closers
  /** Ends the measurement with an error. */
  fail(error: Error): void
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Starts a measurement. `end` runs its closers. After a signal, an uncaught error, the end of the parent process, or a
 * call of {@link BenchRun.fail}, the process runs the closers and exits with 1.
 */
export function startBenchRun() {
  const closers = createClosers()
  let hasFailed = false
  async function fail(error: Error): Promise<void> {
    // What remains of the measurement fails when its processes end. At Ctrl-C, both the terminal and npm send a signal.
    // Neither must interrupt the cleanup.
    if (hasFailed) return
    hasFailed = true
    console.error(error)
    await closers.close().catch((closeError) => console.error(closeError))
    process.exit(1)
  }
  const stop = (reason: string) => void fail(new Error(`the measurement was stopped by ${reason}`))
  const onDisconnect = () => stop('the end of the parent process')
  for (const name of SIGNALS) process.on(name, stop)
  process.on('disconnect', onDisconnect).on('uncaughtException', fail)
  return {
    closers,
    fail,
    hasFailed: () => hasFailed,
    async end() {
      await closers.close()
      for (const name of SIGNALS) process.off(name, stop)
      // A listener for `disconnect` keeps the process running.
      process.off('disconnect', onDisconnect).off('uncaughtException', fail)
    },
  }
}

/**
 * Waits until `opening` resolves. Closes the opened thing at the end of the run, even if the run is interrupted while
 * it is being opened.
 */
export function openInRun<Opened extends { close(): Promise<unknown> }>(
  { closers }: BenchRun,
  opening: Promise<Opened>,
): Promise<Opened> {
  closers.push(async () => {
    const opened = await opening.catch(() => null)
    await opened?.close()
  })
  return opening
}

/** Options of {@link forkProcess}. */
interface ProcessOptions {
  /** Command-line options of Node.js. Default: those of this process. */
  nodeOptions?: string[]
}

/**
 * Runs a file of this directory in its own process. The process ends with the run. If it exits before `kill` is called,
 * the run fails.
 */
export function forkProcess(
  run: BenchRun,
  file: string,
  args: string[],
  { nodeOptions = process.execArgv }: ProcessOptions = {},
): ChildProcess {
  const endWithParent = new URL('./end-with-parent.mjs', import.meta.url).href
  const child = fork(new URL(`./${file}`, import.meta.url), args, {
    execArgv: [...nodeOptions, '--import', endWithParent],
    // At Ctrl-C, the terminal would end a child that is not detached, and this would count as an unexpected exit.
    detached: true,
  })
  endWithRun(run, child, file)
  return child
}

/** Ends a process at the end of the run. If the process exits before `kill` is called, the run fails. */
export function endWithRun({ closers, fail }: BenchRun, child: ChildProcess, name: string): void {
  const exited = once(child, 'exit')
  child.once('exit', (code, signalName) => {
    if (!child.killed) fail(new Error(`${name} exited with ${code ?? signalName}`))
  })
  closers.push(async () => {
    child.kill()
    await exited
  })
}

/** Returns the next message of a process of {@link forkProcess}. */
export async function receiveMessage<Message>(child: ChildProcess): Promise<Message> {
  const [message] = await once(child, 'message')
  return message
}
