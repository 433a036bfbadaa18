import { access, readdir, readFile, stat } from 'node:fs/promises'
import { join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  FRAMEWORKS,
  FRAMEWORKS_DOCUMENT,
  readDependencies,
  renderFrameworks,
} from '../scripts/frameworks.js'
import { readExample } from './_support/documents.js'

// The documents of this repository name files and commands, and show examples. These tests check that the files and the
// commands exist, and that the examples are those in `examples`.

const MAX_README_LINES = 200
const MAX_README_WORDS = 1_500
const MAX_PICTURE_BYTES = 150_000

const INDEX = 'docs/README.md'

/** Folders in `examples` with apps that use cookie sessions. `test/consumers/cookie-sessions.test.ts` runs them. */
const SESSION_EXAMPLES = ['express-openid-connect', 'nextjs-auth0']

const pages = (await readdir('docs')).filter((name) => name.endsWith('.md'))
const documents = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  ...pages.map((name) => `docs/${name}`),
  'src/client/README.md',
  'src/simulator/README.md',
  ...[...FRAMEWORKS.map(({ example }) => example), ...SESSION_EXAMPLES].map(
    (example) => `examples/${example}/README.md`,
  ),
]
/** The text of each document, by its path. */
const texts = new Map<string, string>()
for (const name of documents) texts.set(name, await readFile(name, 'utf8'))

/** Returns a document without its blocks of code. In such a block, a line that begins with `#` is not a heading. */
const withoutCode = (name: string) => (texts.get(name) ?? '').replace(/^ *```[\s\S]*?^ *```$/gm, '')

/** Returns the anchors that GitHub gives to the headings of a document. */
function listAnchors(name: string): string[] {
  const headings = [...withoutCode(name).matchAll(/^#{1,6} (.+)$/gm)].map(([, text = '']) =>
    text
      // Replaces each link by its text.
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      // Removes everything except letters, marks, numbers, connectors such as `_`, spaces and hyphens.
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-'),
  )
  return headings.map((anchor, index) => {
    const earlierCount = headings.slice(0, index).filter((other) => other === anchor).length
    return earlierCount === 0 ? anchor : `${anchor}-${earlierCount}`
  })
}

/** Returns the targets of all links `[…](target)`, and the files of all pictures `src="file"` or `srcset="file"`. */
const listLinks = (name: string) =>
  [...withoutCode(name).matchAll(/\]\(([^)\s]+)\)|\bsrc(?:set)?="([^"\s]+)"/g)].map(
    ([, target, file = '']) => target ?? file,
  )

/**
 * Whether a line of an excerpt of an example must also be a line of the example. This is not so for imports, because
 * the excerpt can import fewer names.
 */
const isComparedLine = (line: string) => line !== '' && !line.startsWith('import ')

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

/** Returns what is wrong with a link of the document `name`, or `null` if the link resolves. Skips URLs of websites. */
async function findLinkProblem(name: string, target: string): Promise<string | null> {
  if (/^[a-z]+:/.test(target)) return null
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? name : normalize(join(name, '..', path))
  if (!(await exists(file))) return `${target}: no such file`
  if (anchor === undefined) return null
  if (!texts.has(file)) return `${target}: not a document with headings`
  return listAnchors(file).includes(anchor) ? null : `${target}: no such heading`
}

describe.each(documents)('the document %s', (name) => {
  test('every link of the document resolves', async () => {
    const problems = await Promise.all(
      listLinks(name).map((target) => findLinkProblem(name, target)),
    )
    expect(problems.filter((problem) => problem !== null)).toEqual([])
  })

  test('every npm script that the document names exists', async () => {
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))
    const named = [...(texts.get(name) ?? '').matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)]
    for (const [command, script = ''] of named) expect(scripts, command).toHaveProperty(script)
  })

  test('no command of the document installs last-logout from the registry, and every tarball has the current version', async () => {
    const text = texts.get(name) ?? ''
    // The packages are not published. Someone else could publish packages with these names.
    expect(text).not.toMatch(/\bnpx (-\S+ )*last-logout/)
    expect(text).not.toMatch(
      /\bnpm (install|i|add|exec)\b[^\n]* last-logout(-client|-simulator)?(\s|$)/,
    )
    const { version } = JSON.parse(await readFile('package.json', 'utf8'))
    const named = [...text.matchAll(/last-logout(?:-client|-simulator)?-(\d[\w.-]*)\.tgz/g)]
    for (const [tarball, namedVersion] of named) expect(namedVersion, tarball).toBe(version)
  })

  test('every test file and every test that the document names exists', async () => {
    // Such as `test/file.test.ts -t 'pattern'`.
    const named = [
      ...(texts.get(name) ?? '').matchAll(/`(test\/[\w/.-]+\.ts)(?: -t (?:'([^']+)'|([\w-]+)))?`/g),
    ]
    for (const [command, file = '', quotedPattern, wordPattern] of named) {
      // In a Markdown table, `|` is written as `\|`.
      const pattern = new RegExp((quotedPattern ?? wordPattern ?? '').replaceAll('\\|', '|'))
      expect(await readFile(file, 'utf8'), command).toMatch(pattern)
    }
  })
})

describe('README.md', () => {
  const readme = texts.get('README.md') ?? ''

  test('README.md has at most 200 lines and 1,500 words', () => {
    expect(readme.split('\n').length - 1).toBeLessThanOrEqual(MAX_README_LINES)
    expect(readme.split(/\s+/).filter(Boolean).length).toBeLessThanOrEqual(MAX_README_WORDS)
  })

  test('README.md and docs/getting-started.md show the example for Express', async () => {
    const example = await readFile('examples/express/app.mjs', 'utf8')
    expect(await readExample('README.md', 'Reject logged-out tokens', 'js')).toBe(example)
    expect(await readExample('docs/getting-started.md', '4 Create your API', 'js')).toBe(example)
  })
})

test('docs/README.md links every other page in docs', () => {
  const links = listLinks(INDEX)
  for (const page of pages.filter((page) => `docs/${page}` !== INDEX)) expect(links).toContain(page)
})

test('every picture in docs/images is shown by a document, and is smaller than 150 kB', async () => {
  const shown = documents.flatMap((name) =>
    listLinks(name).map((target) => normalize(join(name, '..', target))),
  )
  const pictures = (await readdir('docs/images')).map((name) => `docs/images/${name}`)
  expect(pictures.filter((picture) => !shown.includes(picture))).toEqual([])
  const sizes = await Promise.all(pictures.map(async (picture) => (await stat(picture)).size))
  expect(Math.max(...sizes)).toBeLessThan(MAX_PICTURE_BYTES)
})

describe('docs/resource-servers.md', () => {
  test('the table of frameworks is what `npm run docs:frameworks` generates', async () => {
    const document = texts.get(FRAMEWORKS_DOCUMENT) ?? ''
    expect(await renderFrameworks(document)).toBe(document)
  })

  test.each(['express', 'request-response'])(
    'the document shows the whole of examples/%s/app.mjs',
    async (example) => {
      const framework = FRAMEWORKS.find((candidate) => candidate.example === example)
      const shown = await readExample(FRAMEWORKS_DOCUMENT, framework?.name ?? '', 'js')
      expect(shown).toBe(await readFile(`examples/${example}/app.mjs`, 'utf8'))
    },
  )

  test.each([
    ['Fastify', 'fastify/app.mjs'],
    ['Koa', 'koa/app.mjs'],
    ['Hono', 'hono/app.mjs'],
    ['NestJS', 'nestjs/app.ts'],
    ['Next.js', 'next/app/orders/route.ts'],
    ['Lambda authorizer', 'lambda-authorizer/authorizer.mjs'],
    ['tRPC', 'trpc/app.ts'],
  ])(
    'in the section %s, each line of the excerpt except imports is a line of examples/%s',
    async (heading, path) => {
      const language = path.endsWith('.ts') ? 'ts' : 'js'
      const excerpt = await readExample(FRAMEWORKS_DOCUMENT, heading, language)
      const lines = (await readFile(join('examples', path), 'utf8')).split('\n')
      expect(lines).toEqual(expect.arrayContaining(excerpt.split('\n').filter(isComparedLine)))
    },
  )

  test('the packages in examples are those in the table of frameworks and those with cookie sessions', async () => {
    const folders = await readdir('examples')
    const isPackage = await Promise.all(
      folders.map((folder) => exists(join('examples', folder, 'package.json'))),
    )
    const packages = folders.filter((_folder, index) => isPackage[index])
    const listed = [...FRAMEWORKS.map(({ example }) => example), ...SESSION_EXAMPLES]
    expect(packages.sort()).toEqual(listed.sort())
  })
})

describe('docs/cookie-sessions.md', () => {
  test.each(SESSION_EXAMPLES)(
    'the table has a row for the example %s, with the version of its library',
    async (example) => {
      const dependencies = await readDependencies(join('examples', example))
      // The example `nextjs-auth0` uses the library `@auth0/nextjs-auth0`.
      const library = Object.keys(dependencies).find((name) => name.endsWith(example)) ?? ''
      const row = `| \`last-logout-client/${example}\` | ${dependencies[library]} | [examples/${example}](../examples/${example}) |`
      expect(texts.get('docs/cookie-sessions.md')).toContain(row)
    },
  )
})

test('every file and folder of src that ARCHITECTURE.md names exists', async () => {
  const text = texts.get('ARCHITECTURE.md') ?? ''
  const namedPaths = [...text.matchAll(/`([a-z][\w-]*(?:\/[\w-]+)*(?:\.ts)?)`/g)]
    .map(([, path = '']) => path)
    // The pattern also matches words in backticks.
    .filter((path) => path.includes('/') || path.endsWith('.ts'))
    .filter((path) => !path.startsWith('test/'))
  expect(namedPaths.length).toBeGreaterThan(20)
  for (const path of namedPaths) expect(await exists(join('src', path)), path).toBe(true)
})
