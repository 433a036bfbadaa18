#!/usr/bin/env node
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { HELP, type SimulatorFlags, startSimulator, UsageError } from './command.js'

const EXIT_USAGE = 2

try {
  const { values } = readArguments()
  if (values.help) process.stdout.write(HELP)
  else await run(values)
} catch (error) {
  const isExpected = error instanceof UsageError || (error as { code?: unknown }).code !== undefined
  const { message, stack } = error as Error
  process.stderr.write(`last-logout-simulator: ${isExpected ? message : stack}\n`)
  process.exitCode = error instanceof UsageError ? EXIT_USAGE : 1
}

async function run(flags: SimulatorFlags): Promise<void> {
  const stopped = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  const { description, close } = await startSimulator(flags)
  process.stdout.write(description)
  await stopped
  await close()
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        help: { type: 'boolean', short: 'h' },
        port: { type: 'string' },
        domain: { type: 'string' },
        users: { type: 'string' },
        interval: { type: 'string' },
        history: { type: 'string' },
        scope: { type: 'string', multiple: true },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
