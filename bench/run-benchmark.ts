import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { BenchRun } from './bench-run.js'
import type { Figure } from './figures.js'

/**
 * Runs a benchmark of this directory in its own process, and returns the figures that it sends by `reportFigures`.
 *
 * @param name Name of the file, without its extension.
 * @throws `Error` if the benchmark ends without figures, or with another exit code than 0.
 */
export async function runBenchmark(
  { closers }: BenchRun,
  name: string,
  args: string[],
): Promise<Figure[]> {
  const child = fork(new URL(`./${name}.ts`, import.meta.url), args, {
    // Some benchmarks measure memory after a garbage collection.
    execArgv: [...process.execArgv, '--expose-gc'],
    // At Ctrl-C, only this process receives the signal. Its closer forwards it.
    detached: true,
  })
  let figures: Figure[] | undefined
  child.on('message', (message) => {
    figures = message as Figure[]
  })
  // The last message of the child arrives before `disconnect`, but can arrive after `exit`.
  const ended = Promise.all([once(child, 'exit'), once(child, 'disconnect')])
  closers.push(async () => {
    child.kill()
    await ended
  })
  await ended
  if (figures === undefined || child.exitCode !== 0) {
    const status = child.signalCode ?? child.exitCode
    throw new Error(`the benchmark ${name} ended with ${status}: see its output above`)
  }
  return figures
}
