import { tmpdir } from 'node:os'
import { Readable, Writable } from 'node:stream'
import type { CommandContext } from '../../src/commands/context.js'
import { openPrompt } from '../../src/commands/prompt.js'
import { runCommandLine } from '../../src/commands/run.js'
import { createLog } from '../../src/log.js'

/** A command of last-logout that runs in this process. */
export interface CommandRun {
  stdout(): string
  stderr(): string
  /** Aborts the command, as SIGTERM does. */
  stop(): void
  /** Resolves to the exit code when the command has ended. */
  ended: Promise<number>
}

/** What a command gets besides its arguments and variables. */
interface CommandSurroundings {
  /** Standard input. Default: empty. */
  input?: string
  /** Replaces parts of the context. */
  context?: Partial<CommandContext>
}

/** Starts a command in this process. `env` contains all its environment variables. */
export function startCommandLine(
  args: string[],
  env: Record<string, string> = {},
  { input = '', context = {} }: CommandSurroundings = {},
): CommandRun {
  const written = { stdout: '', stderr: '' }
  const writeTo = (stream: keyof typeof written) => (text: string) => {
    written[stream] += text
  }
  const controller = new AbortController()
  const ended = runCommandLine(args, {
    env,
    programName: 'last-logout',
    print: writeTo('stdout'),
    printError: writeTo('stderr'),
    isOutputClosed: () => false,
    cwd: tmpdir(),
    openPrompt: async () =>
      openPrompt({
        input: Readable.from([input]),
        output: toStream(writeTo('stdout')),
        isTerminal: false,
        signal: controller.signal,
        onInterrupt: () => controller.abort(),
      }),
    readInput: async (maxLength) => input.slice(0, maxLength + 1),
    isTerminal: false,
    stop: controller.signal,
    createLog: (level, to) => createLog(level, toStream(writeTo(to)), context.programName),
    ...context,
  })
  return {
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    stop: () => controller.abort(),
    ended,
  }
}

/** Runs a command in this process until the command ends. */
export async function finishCommandLine(...args: Parameters<typeof startCommandLine>) {
  const command = startCommandLine(...args)
  const code = await command.ended
  return { code, stdout: command.stdout(), stderr: command.stderr() }
}

function toStream(write: (text: string) => void): NodeJS.WritableStream {
  return new Writable({
    write(chunk, _encoding, done) {
      write(String(chunk))
      done()
    },
  })
}
