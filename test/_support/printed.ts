import { expect } from 'vitest'
import { finishCommandLine } from './command-line.js'

/** The command that starts the program, for the messages of tests. */
export const PROGRAM = 'npx last-logout'

/** Expects that a text contains no stack, and that every command in the text can be pasted into a shell. */
export async function expectPasteable(printed: string): Promise<void> {
  expect(printed).not.toMatch(/^ {4}at /m)
  const commands = [...printed.matchAll(/`([^`\n]*last-logout [^`\n]*)`/g)].map(
    ([, text = '']) => text,
  )
  for (const command of commands) {
    expect(command).toMatch(/^npx last-logout (--help$|[a-z])/)
    // `--help` fails if the command or its subcommand does not exist.
    const words = command.slice(PROGRAM.length + 1).split(/ (?=[^a-z]|https?:)/)[0] ?? ''
    expect(await finishCommandLine([...words.split(' '), '--help']), command).toMatchObject({
      code: 0,
    })
  }
  expect(printed.replaceAll(PROGRAM, '')).not.toMatch(
    /last-logout (start|worker|api|sync|status|doctor|explain|logout|floor|action|migrate|healthcheck|demo|--help)\b/,
  )
}
