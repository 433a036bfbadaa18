#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { addAbortSignal } from 'node:stream'
import type { CommandContext } from './commands/context.js'
import { runCommandLine } from './commands/run.js'
import { aborted } from './errors.js'
import { createLog } from './log.js'

/** How long an answer that was given up may keep the process, in milliseconds. */
const LINGER_MS = 500

const stopping = new AbortController()

/** Whoever reads what is written has gone, as `head` does when it has seen enough. */
let isReaderGone = false

const context: CommandContext = {
  env: process.env,
  print: (text) => void process.stdout.write(text),
  printError: (text) => void process.stderr.write(text),
  isReaderGone: () => isReaderGone,
  readInput,
  isTerminal: process.stdout.isTTY === true,
  stop: stopping.signal,
  createLog: (level, to) => createLog(level, process[to]),
}

// SIGHUP: the terminal was closed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The first lets the page at hand be stored; whoever sends a second will not wait.
    if (stopping.signal.aborted) process.exit(1)
    stopping.abort()
  })
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    isReaderGone = true
    stopping.abort()
  })
}

// Variables that are set already win over the file's.
if (existsSync('.env')) process.loadEnvFile('.env')

const { exitCode, isUnfinished } = await runCommandLine(process.argv.slice(2), context)
process.exitCode = exitCode
// What was opened is closed; no answer of a server that has fallen silent is waited for.
if (isUnfinished) setTimeout(() => process.exit(), LINGER_MS).unref()

async function readInput(maxLength: number): Promise<string> {
  const input = addAbortSignal(stopping.signal, process.stdin.setEncoding('utf8'))
  let text = ''
  try {
    for await (const chunk of input) {
      text += chunk
      if (text.length > maxLength) break
    }
  } catch (error) {
    throw stopping.signal.aborted ? aborted(error) : error
  }
  return text
}
