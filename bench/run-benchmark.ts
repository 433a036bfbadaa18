import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Figure } from './figures.js'

/**
 * Runs a benchmark of this directory in its own process, and returns the figures that it sends by `reportFigures`.
 *
 * @param name Name of the file, without its extension.
 * @throws `Error` if the benchmark ends without figures.
 */
export async function runBenchmark(name: string, args: string[]): Promise<Figure[]> {
  const child = fork(new URL(`./${name}.ts`, import.meta.url), args, {
    // Some benchmarks measure memory after a garbage collection.
    execArgv: [...process.execArgv, '--expose-gc'],
  })
  let figures: Figure[] | undefined
  child.on('message', (message) => {
    figures = message as Figure[]
  })
  // The last message of the child arrives before `disconnect`, but can arrive after `exit`.
  await Promise.all([once(child, 'exit'), once(child, 'disconnect')])
  if (figures === undefined) {
    const status = child.signalCode ?? child.exitCode
    throw new Error(`the benchmark ${name} ended with ${status}: see its output above`)
  }
  return figures
}
