#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { addAbortSignal } from 'node:stream'
import { CommanderError } from 'commander'
import type { CommandContext } from './commands/context.js'
import { createProgram } from './commands/program.js'
import { aborted, type ErrorCode, hasCode, LastLogoutError } from './errors.js'
import { createLog } from './log.js'

const FAILED = 1
const WRONG_CONFIGURATION = 2

/** How long an answer that was given up may keep the process, in milliseconds. */
const LINGER_MS = 500

const USAGE: ErrorCode[] = ['CONFIGURATION', 'USAGE', 'OTHER_TENANT']

const stopping = new AbortController()

const context: CommandContext = {
  env: process.env,
  print: (text) => void process.stdout.write(text),
  readInput,
  isTerminal: process.stdout.isTTY === true,
  stop: stopping.signal,
  createLog: (level, to) => createLog(level, process[to]),
}

// SIGHUP: the terminal was closed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The first lets the page at hand be stored; whoever sends a second will not wait.
    if (stopping.signal.aborted) process.exit(FAILED)
    stopping.abort()
  })
}

/** Whoever reads what is written has gone, as `head` does when it has seen enough. */
let isReaderGone = false

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    isReaderGone = true
    stopping.abort()
  })
}

// Variables that are set already win over the file's.
if (existsSync('.env')) process.loadEnvFile('.env')

try {
  await (await createProgram(context)).parseAsync(process.argv)
} catch (error) {
  process.exitCode = report(error)
  // What was opened is closed; no answer of a server that has fallen silent is waited for.
  if (hasCode(error, 'UNFINISHED')) setTimeout(() => process.exit(), LINGER_MS).unref()
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_CONFIGURATION
  if (stopping.signal.aborted && hasCode(error, 'ABORTED')) {
    if (!isReaderGone) say('stopped before the end; what was stored stays stored')
    return 0
  }
  if (!(isReaderGone && hasCode(error, 'UNFINISHED'))) say(toMessage(error))
  return USAGE.some((code) => hasCode(error, code)) ? WRONG_CONFIGURATION : FAILED
}

function say(message: string): void {
  process.stderr.write(`last-logout: ${message}\n`)
}

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

/** What the reader can act on; a stack only where the fault is in this program. */
function toMessage(error: unknown): string {
  if (error instanceof LastLogoutError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
