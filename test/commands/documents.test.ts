import { readdir, readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { createProgram } from '../../src/commands/program.js'

const docNames = (await readdir('docs')).filter((name) => name.endsWith('.md'))
const documents = ['README.md', 'SECURITY.md', ...docNames.map((name) => `docs/${name}`)]

const rejectCall = () => {
  throw new Error('no command runs in these tests')
}
const program = await createProgram({
  cwd: '.',
  env: {},
  programName: 'last-logout',
  print: rejectCall,
  printError: rejectCall,
  isOutputClosed: rejectCall,
  readInput: rejectCall,
  openPrompt: rejectCall,
  isTerminal: false,
  stop: new AbortController().signal,
  createLog: rejectCall,
})

/** Returns the arguments of each `last-logout` command in a document: in its examples and in its text. */
function listCommands(markdown: string): string[][] {
  // The code blocks with the language `sh`, and the code in backticks.
  const blocks = [...markdown.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].map(
    ([, code = '']) => code,
  )
  const lines = blocks.flatMap((code) => code.replace(/\\\n/g, ' ').split('\n'))
  const inline = [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
  return [...lines, ...inline].flatMap((line) => {
    // The arguments of the command end at a comment, pipe, redirection or `&&`.
    const [, commandText] = /(?:^|[ (])last-logout( [a-z-].*)/.exec(line) ?? []
    return commandText === undefined
      ? []
      : [splitWords(commandText.split(/ (?:[#|]|>+|&&|<) /)[0] ?? '')]
  })
}

/** Splits the arguments of a command. A placeholder such as `<its end>` is one argument. */
function splitWords(text: string): string[] {
  return text.match(/'[^']*'|<[^>]*>|\S+/g) ?? []
}

/** Returns why the program rejects the arguments, or `null` if it accepts them. */
function findProblem(command: Command, args: string[]): string | null {
  const [name = '', ...otherArgs] = args
  const subcommand = command.commands.find((candidate) => candidate.name() === name)
  if (subcommand !== undefined) return findProblem(subcommand, otherArgs)
  if (name === '--version' || name === '--help') return null
  if (command.commands.length > 0) return `no command ${name}`
  const { operands, unknown } = command.parseOptions(args)
  if (unknown.some((option) => option !== '-')) return `no option ${unknown.join(' ')}`
  const maxCount = command.registeredArguments.length
  return operands.length > maxCount ? `takes ${maxCount} arguments` : null
}

describe.each(documents)('in %s', (name) => {
  test('the program accepts every `last-logout` command', async () => {
    const commands = listCommands(await readFile(name, 'utf8'))
    const problems = commands.flatMap((args) => {
      const problem = findProblem(program, args)
      return problem === null ? [] : [`last-logout ${args.join(' ')}: ${problem}`]
    })
    expect(problems).toEqual([])
  })
})

test('the documents contain more than 40 commands, so that these tests check something', async () => {
  const texts = await Promise.all(documents.map((name) => readFile(name, 'utf8')))
  expect(texts.flatMap(listCommands).length).toBeGreaterThan(40)
})

test.each([
  [['floor', 'lower', 'now'], 'no command lower'],
  // Misspelt.
  [['doctor', '--prob'], 'no option --prob'],
  [['status', 'now'], 'takes 0 arguments'],
  [['explain', '-'], null],
])('findProblem(%j) returns the problem: %s', (args, problem) => {
  expect(findProblem(program, args)).toBe(problem)
})
