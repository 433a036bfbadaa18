import { access, readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type CodeBlock, listCodeBlocks } from '../_support/documents.js'
import { PROOFS } from './snippets.js'

// Every block of code in the documents must be listed in `PROOFS`, which states how the block is kept correct. These tests
// check that each statement is true.

const pages = (await readdir('docs')).filter((name) => name.endsWith('.md')).sort()
const DOCUMENTS = [
  'README.md',
  'SECURITY.md',
  ...pages.map((name) => `docs/${name}`),
  'src/client/README.md',
  'src/simulator/README.md',
]

/** All blocks by their names in `PROOFS`. */
const blocks = new Map<string, CodeBlock>()
for (const block of (await Promise.all(DOCUMENTS.map(listCodeBlocks))).flat()) {
  const baseName = `${block.document} > ${block.heading} > ${block.language}`
  let name = baseName
  for (let index = 1; blocks.has(name); index++) name = `${baseName} ${index}`
  blocks.set(name, block)
}

/** Returns the lines without indentation. Leaves out empty lines. */
const linesOf = (code: string) =>
  code
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

/** Whether a block contains only commands of the program, which `test/commands/documents.test.ts` parses. */
const isCommands = ({ language, code }: CodeBlock) =>
  language === 'sh' && linesOf(code).every((line) => line.startsWith('last-logout '))

test('test/snippets/snippets.ts lists every block of code in the documents', () => {
  const names = [...blocks].filter(([, block]) => !isCommands(block)).map(([name]) => name)
  expect(Object.keys(PROOFS).sort()).toEqual(names.sort())
})

/** The listed blocks that exist, with their names and proofs. */
const listedBlocks = Object.entries(PROOFS).flatMap(([name, proof]) => {
  const block = blocks.get(name)
  return block === undefined ? [] : [{ name, proof, block }]
})

test.each(
  listedBlocks.flatMap(({ name, proof, block }) =>
    'test' in proof ? [[name, proof.test, block] as const] : [],
  ),
)('the block %s is read by %s', async (_name, file, { document, heading, language }) => {
  const code = await readFile(file, 'utf8')
  const expectedTexts = ['readExample(', `'${document}'`, `'${heading}'`, `'${language}'`]
  expect(expectedTexts.filter((text) => !code.includes(text))).toEqual([])
})

test.each(
  listedBlocks.flatMap(({ name, proof, block }) =>
    'linesOf' in proof ? [[name, proof.linesOf, block] as const] : [],
  ),
)('the lines of the block %s are in %s, in the same order', async (_name, file, { code }) => {
  const fileLines = linesOf(await readFile(file, 'utf8'))
  const blockLines = linesOf(code).filter((line) => !line.startsWith('import '))
  let nextIndex = 0
  const missingLines: string[] = []
  for (const line of blockLines) {
    const index = fileLines.indexOf(line, nextIndex)
    if (index === -1) missingLines.push(line)
    else nextIndex = index + 1
  }
  expect(missingLines).toEqual([])
})

test.each(
  listedBlocks.flatMap(({ name, proof, block }) =>
    'runsTests' in proof ? [[name, block] as const] : [],
  ),
)('the scripts of npm and the paths in the block %s exist', async (_name, { code }) => {
  const commands = code.replaceAll(/#.*/g, '')
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))
  const calledScripts = [...commands.matchAll(/npm (?:run )?([\w:]+)/g)].map(
    ([, script = '']) => script,
  )
  expect(calledScripts.length).toBeGreaterThan(0)
  // `npm ci` is no script.
  expect(calledScripts.filter((script) => script !== 'ci' && !(script in scripts))).toEqual([])
  // A path is a word with a slash, such as `test/store`.
  const paths = commands.match(/(?<=\s|^)[.\w-]+\/[\w./-]+/g) ?? []
  await Promise.all(paths.map((path) => access(path)))
})
