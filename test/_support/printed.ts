import { expect } from 'vitest'
import { finishCommandLine } from './command-line.js'

/** The command that starts the program, as messages of the program contain it. */
export const PROGRAM = 'npx last-logout'

/** Expects that a text contains no stack trace, and that a user can paste every command in the text into a shell. */
export async function expectPasteable(printed: string): Promise<void> {
  // A line of a stack trace begins with four spaces and `at`.
  expect(printed).not.toMatch(/^ {4}at /m)
  const commands = [...printed.matchAll(/`([^`\n]*last-logout [^`\n]*)`/g)].map(
    ([, text = '']) => text,
  )
  for (const command of commands) {
    expect(command).toMatch(/^npx last-logout (--help$|[a-z])/)
    // Only the names of the command and its subcommand, without options and arguments. With `--help`, the program fails
    // if there is no such command.
    const words = command.slice(PROGRAM.length + 1).split(/ (?=[^a-z]|https?:)/)[0] ?? ''
    expect(await finishCommandLine([...words.split(' '), '--help']), command).toMatchObject({
      code: 0,
    })
  }
  // Every command begins with `npx`: without it, a shell would not find the program.
  const { stdout: help } = await finishCommandLine(['--help'])
  const names = [...help.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name)
  expect(names).toContain('start')
  const withoutNpx = new RegExp(`last-logout (${names.join('|')}|--help)\\b`)
  expect(printed.replaceAll(PROGRAM, '')).not.toMatch(withoutNpx)
}
