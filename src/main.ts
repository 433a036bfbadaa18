#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { addAbortSignal } from 'node:stream'
import type { CommandContext } from './commands/context.js'
import { runCommandLine } from './commands/run.js'
import { aborted } from './errors.js'
import { createLog } from './log.js'

/** Grace period for a request that was abandoned, in milliseconds. Then the process exits. */
const EXIT_GRACE_MS = 500

const stopping = new AbortController()

/** Whether stdout or stderr was closed (EPIPE), as by `head`. */
let isOutputClosed = false

const context: CommandContext = {
  env: process.env,
  print: (text) => void process.stdout.write(text),
  printError: (text) => void process.stderr.write(text),
  isOutputClosed: () => isOutputClosed,
  readInput,
  isTerminal: process.stdout.isTTY === true,
  stop: stopping.signal,
  createLog: (level, to) => createLog(level, process[to]),
}

// SIGHUP is sent when the terminal is closed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The first signal starts a graceful shutdown, which stores the current page. A second one exits at once.
    if (stopping.signal.aborted) process.exit(1)
    stopping.abort()
  })
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    isOutputClosed = true
    stopping.abort()
  })
}

// Variables of the environment take precedence over those of the file.
if (existsSync('.env')) process.loadEnvFile('.env')

const { exitCode, isUnfinished } = await runCommandLine(process.argv.slice(2), context)
process.exitCode = exitCode
// Everything is closed, but the socket of an unresponsive server can keep the process alive.
if (isUnfinished) setTimeout(() => process.exit(), EXIT_GRACE_MS).unref()

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
