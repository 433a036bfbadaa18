#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { addAbortSignal } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import type { CommandContext } from './commands/context.js'
import type { Prompt } from './commands/prompt.js'
import { runCommandLine } from './commands/run.js'
import { abortedError } from './errors.js'
import { createLog } from './log.js'
import { type ProgramStart, readProgramName } from './program-name.js'

/** Maximum time that the process stays alive after the command has ended, in milliseconds. */
const EXIT_GRACE_MS = 500

// Some objects of a request live until PostgreSQL responds. V8 can infer that similar objects also live for long, and
// then creates them in the old generation. An unused object there keeps all objects that it refers to in memory, so a
// garbage collection takes several times as long. V8 does this in some processes, but not in others.
setFlagsFromString('--no-allocation-site-pretenuring')

const stopping = new AbortController()

/** Whether stdout or stderr was closed (EPIPE), for example by `head` in a pipeline, or failed in another way. */
let isOutputClosed = false

/** Whether a write failed for another reason than EPIPE, such as a full disk. */
let hasOutputFailed = false

const [, script = ''] = process.argv
const start: ProgramStart = {
  script,
  cwd: process.cwd(),
  env: process.env,
  container: findContainer(),
}

const context: CommandContext = {
  env: process.env,
  cwd: start.cwd,
  programName: readProgramName(start, false),
  print: (text) => void process.stdout.write(text),
  printError: (text) => void process.stderr.write(text),
  isOutputClosed: () => isOutputClosed,
  readInput,
  openPrompt,
  isTerminal: process.stdout.isTTY === true,
  stop: stopping.signal,
  createLog: (level, to) => createLog(level, process[to], readProgramName(start, true)),
}

// SIGHUP is sent when the terminal is closed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The first signal starts a graceful shutdown, which stores the current page. The second signal exits at once.
    if (stopping.signal.aborted) process.exit(1)
    stopping.abort()
  })
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    isOutputClosed = true
    stopping.abort()
    if (error.code === 'EPIPE' || hasOutputFailed) return
    hasOutputFailed = true
    // The error can occur after the command has ended.
    process.exitCode = 1
    process.stderr.write(
      `last-logout: The output cannot be written (${error.code}): check the free space of its disk.\n`,
    )
  })
}

const exitCode = await runCommandLine(process.argv.slice(2), context)
process.exitCode = hasOutputFailed ? 1 : exitCode
// The command has ended, but the socket to an unresponsive server can keep the process alive.
setTimeout(exitAfterOutput, EXIT_GRACE_MS).unref()

/** Ends the process when its output is written. */
function exitAfterOutput(): void {
  process.stdout.write('', () => process.exit())
}

/**
 * Describes the container that this process runs in. By default, the host name in a container is the id of the
 * container.
 */
function findContainer(): ProgramStart['container'] {
  const isDocker = existsSync('/.dockerenv')
  if (!isDocker && !existsSync('/run/.containerenv')) return undefined
  const { pid, ppid, stdin } = process
  // Under an init process, the parent has pid 1. A shell can also have pid 1, but then stdin is a terminal.
  const isMain = pid === 1 || (ppid === 1 && !stdin.isTTY)
  const startedBy = isMain ? 'run' : ppid === 0 ? 'exec' : 'shell'
  return { engine: isDocker ? 'docker' : 'podman', id: hostname(), startedBy }
}

async function openPrompt(): Promise<Prompt> {
  const { openPrompt: open } = await import('./commands/prompt.js')
  return open({
    input: process.stdin,
    output: process.stdout,
    isTerminal: process.stdin.isTTY === true,
    signal: stopping.signal,
    onInterrupt: () => stopping.abort(),
  })
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
    throw stopping.signal.aborted ? abortedError(error) : error
  }
  return text
}
