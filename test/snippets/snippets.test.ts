import { access, readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type CodeBlock, listCodeBlocks } from '../_support/documents.js'
import { PROOFS } from './snippets.js'

const pages = (await readdir('docs')).filter((name) => name.endsWith('.md')).sort()
const DOCUMENTS = [
  'README.md',
  'SECURITY.md',
  ...pages.map((name) => `docs/${name}`),
  'src/client/README.md',
  'src/simulator/README.md',
]

const blocks = new Map<string, CodeBlock>()
for (const block of (await Promise.all(DOCUMENTS.map(listCodeBlocks))).flat()) {
  const name = `${block.document} > ${block.heading} > ${block.language}`
  let index = 0
  while (blocks.has(index === 0 ? name : `${name} ${index}`)) index++
  blocks.set(index === 0 ? name : `${name} ${index}`, block)
}

const linesOf = (code: string) =>
  code
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

/** Whether a block contains only commands of the program, which `test/commands/documents.test.ts` parses. */
const isCommands = ({ language, code }: CodeBlock) =>
  language === 'sh' && linesOf(code).every((line) => line.startsWith('last-logout '))

test('every block of code is listed in test/snippets/snippets.ts, with the test that runs it', () => {
  const names = [...blocks].filter(([, block]) => !isCommands(block)).map(([name]) => name)
  expect(Object.keys(PROOFS).sort()).toEqual(names.sort())
})

const proven = Object.entries(PROOFS).map(([name, proof]) => ({
  name,
  proof,
  block: blocks.get(name),
}))

test.each(
  proven.flatMap(({ name, proof, block }) =>
    'test' in proof && block ? [[name, proof.test, block] as const] : [],
  ),
)('%s: %s reads the block', async (_name, file, { document, heading, language }) => {
  const code = await readFile(file, 'utf8')
  const needed = ['readExample(', `'${document}'`, `'${heading}'`, `'${language}'`]
  expect(needed.filter((text) => !code.includes(text))).toEqual([])
})

test.each(
  proven.flatMap(({ name, proof, block }) =>
    'linesOf' in proof && block ? [[name, proof.linesOf, block] as const] : [],
  ),
)('%s: the lines are in %s, in their order', async (_name, file, { code }) => {
  const known = linesOf(await readFile(file, 'utf8'))
  let next = 0
  const unknown = linesOf(code).filter((line) => {
    if (line.startsWith('import ')) return false
    const index = known.indexOf(line, next)
    if (index !== -1) next = index + 1
    return index === -1
  })
  expect(unknown).toEqual([])
})

test.each(
  proven.flatMap(({ name, proof, block }) =>
    'runsTests' in proof && block ? [[name, block] as const] : [],
  ),
)('%s: the scripts of npm and the paths exist', async (_name, { code }) => {
  const commands = code.replaceAll(/#.*/g, '')
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))
  const called = [...commands.matchAll(/npm (?:run )?([\w:]+)/g)].map(([, script = '']) => script)
  expect(called.length).toBeGreaterThan(0)
  expect(called.filter((script) => script !== 'ci' && !(script in scripts))).toEqual([])
  const paths = commands.match(/(?<=\s|^)[.\w-]+\/[\w./-]+/g) ?? []
  await Promise.all(paths.map((path) => access(path)))
})
