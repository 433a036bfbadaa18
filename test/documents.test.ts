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

const MAX_README_LINES = 200
const MAX_README_WORDS = 1_500
const MAX_PICTURE_BYTES = 150_000

const INDEX = 'docs/README.md'

/** The examples of apps with cookie sessions. `test/consumers/cookie-sessions.test.ts` runs them. */
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
const texts = new Map(
  await Promise.all(
    documents.map(async (name) => [name, await readFile(name, 'utf8')] as [string, string]),
  ),
)

/** Returns a document without its examples. In an example, a line that begins with `#` is not a heading. */
const withoutCode = (name: string) => (texts.get(name) ?? '').replace(/^ *```[\s\S]*?^ *```$/gm, '')

/** Returns the anchors that GitHub gives to the headings of a document. */
function listAnchors(name: string): string[] {
  const headings = [...withoutCode(name).matchAll(/^#{1,6} (.+)$/gm)].map(([, text = '']) =>
    text
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-'),
  )
  return headings.map((slug, index) => {
    const earlier = headings.slice(0, index).filter((other) => other === slug).length
    return earlier === 0 ? slug : `${slug}-${earlier}`
  })
}

/** Returns the targets of links, and the files of pictures. */
const listLinks = (name: string) =>
  [...withoutCode(name).matchAll(/\]\(([^)\s]+)\)|\bsrc(?:set)?="([^"\s]+)"/g)].map(
    ([, target, file = '']) => target ?? file,
  )

/**
 * Whether a line of an excerpt must also be a line of its example. Imports are not compared, because an excerpt can
 * import fewer names.
 */
const mustBeInExample = (line: string) => line !== '' && !line.startsWith('import ')

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

/** Returns the problem of a link; `null`: the link resolves. */
async function findLinkProblem(name: string, target: string): Promise<string | null> {
  if (/^[a-z]+:/.test(target)) return null
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? name : normalize(join(name, '..', path))
  if (!(await exists(file))) return `${target}: no such file`
  if (anchor === undefined) return null
  if (!texts.has(file)) return `${target}: not a document with headings`
  return listAnchors(file).includes(anchor) ? null : `${target}: no such heading`
}

describe.each(documents)('in %s', (name) => {
  test('every link resolves', async () => {
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

  test('no command installs an unpublished package from the registry, and tarballs have the current version', async () => {
    const text = texts.get(name) ?? ''
    // The packages are not published, so these commands would run a package of someone else.
    expect(text).not.toMatch(/\bnpx (-\S+ )*last-logout/)
    expect(text).not.toMatch(
      /\bnpm (install|i|add|exec)\b[^\n]* last-logout(-client|-simulator)?(\s|$)/,
    )
    const { version } = JSON.parse(await readFile('package.json', 'utf8'))
    const named = [...text.matchAll(/last-logout(?:-client|-simulator)?-(\d[\w.-]*)\.tgz/g)]
    for (const [tarball, namedVersion] of named) expect(namedVersion, tarball).toBe(version)
  })

  test('every test file and every test that the document names exists', async () => {
    const named = [
      ...(texts.get(name) ?? '').matchAll(/`(test\/[\w/.-]+\.ts)(?: -t (?:'([^']+)'|([\w-]+)))?`/g),
    ]
    for (const [command, file = '', quoted, word] of named) {
      const pattern = new RegExp((quoted ?? word ?? '').replaceAll('\\|', '|'))
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

  test('README.md shows the example for Express', async () => {
    const shown = await readExample('README.md', 'Reject logged-out tokens', 'js')
    expect(shown).toBe(await readFile('examples/express/app.mjs', 'utf8'))
    expect(shown).toBe(await readExample('docs/getting-started.md', '4 Create your API', 'js'))
  })
})

test('docs/README.md links every other page in docs', () => {
  const links = listLinks(INDEX)
  for (const page of pages.filter((page) => `docs/${page}` !== INDEX)) expect(links).toContain(page)
})

test('a document shows every picture in docs/images, and each is smaller than 150 kB', async () => {
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

  test.each(['express', 'fastify', 'request-response'])(
    'the document shows the example %s, which the tests run',
    async (example) => {
      const { name = '' } = FRAMEWORKS.find((framework) => framework.example === example) ?? {}
      const shown = await readExample(FRAMEWORKS_DOCUMENT, name, 'js')
      expect(shown).toBe(await readFile(`examples/${example}/app.mjs`, 'utf8'))
    },
  )

  test.each([
    ['Koa', 'koa/app.mjs'],
    ['Hono', 'hono/app.mjs'],
    ['NestJS', 'nestjs/app.ts'],
    ['Next.js', 'next/app/orders/route.ts'],
    ['Lambda authorizer', 'lambda-authorizer/authorizer.mjs'],
    ['tRPC', 'trpc/app.ts'],
  ])('%s: each line of the excerpt is in the example', async (heading, path) => {
    const language = path.endsWith('.ts') ? 'ts' : 'js'
    const excerpt = await readExample(FRAMEWORKS_DOCUMENT, heading, language)
    const lines = (await readFile(join('examples', path), 'utf8')).split('\n')
    expect(lines).toEqual(expect.arrayContaining(excerpt.split('\n').filter(mustBeInExample)))
  })

  test('every example that is a package is in the table of frameworks, or of cookie sessions', async () => {
    const folders = await readdir('examples')
    const isPackage = await Promise.all(
      folders.map((folder) => exists(join('examples', folder, 'package.json'))),
    )
    const packages = folders.filter((_folder, index) => isPackage[index])
    const tables = [...FRAMEWORKS.map(({ example }) => example), ...SESSION_EXAMPLES]
    expect(packages.sort()).toEqual(tables.sort())
  })
})

describe('docs/cookie-sessions.md', () => {
  test.each(SESSION_EXAMPLES)(
    'the table names the example %s, with its version',
    async (example) => {
      const dependencies = await readDependencies(join('examples', example))
      const library = Object.keys(dependencies).find((name) => name.endsWith(example)) ?? ''
      const row = `| \`last-logout-client/${example}\` | ${dependencies[library]} | [examples/${example}](../examples/${example}) |`
      expect(texts.get('docs/cookie-sessions.md')).toContain(row)
    },
  )
})

test('ARCHITECTURE.md names files and folders of src that exist', async () => {
  const named = [
    ...(texts.get('ARCHITECTURE.md') ?? '').matchAll(/`([a-z][\w-]*(?:\/[\w-]+)*(?:\.ts)?)`/g),
  ]
    .map(([, path = '']) => path)
    .filter((path) => path.includes('/') || path.endsWith('.ts'))
    .filter((path) => !path.startsWith('test/'))
  expect(named.length).toBeGreaterThan(20)
  for (const path of named) expect(await exists(join('src', path)), path).toBe(true)
})
