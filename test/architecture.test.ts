import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import { expect, test } from 'vitest'

/** The other parts of `src` that each part may import. */
const ALLOWED: Record<string, string[]> = {
  main: ['commands', 'errors', 'log', 'program-name'],
  commands: [
    'demo',
    'service',
    'doctor',
    'auth0',
    'config',
    'errors',
    'measurements',
    'ports',
    'program-name',
    'rules',
    'sync',
    'version',
  ],
  demo: ['service', 'auth0', 'config', 'async', 'child-program', 'simulator', 'client'],
  // `doctor` checks the connections of the service, but does not start the service.
  doctor: [
    'service',
    'auth0',
    'store',
    'embedded-postgres',
    'jobs',
    'config',
    'async',
    'errors',
    'rules',
  ],
  service: [
    'http',
    'console',
    'tokens',
    'sync',
    'auth0',
    'store',
    'embedded-postgres',
    'pg',
    'jobs',
    'metrics',
    'config',
    'async',
    'errors',
    'measurements',
    'ports',
    'rules',
    'version',
  ],
  http: ['console', 'config', 'async', 'measurements', 'ports', 'errors', 'rules'],
  console: ['async', 'rules'],
  tokens: ['async', 'errors', 'rules'],
  sync: ['async', 'measurements', 'ports', 'errors', 'rules'],
  auth0: ['async', 'measurements', 'ports', 'errors', 'tls', 'rules'],
  store: ['pg', 'async', 'ports', 'errors', 'rules'],
  'embedded-postgres': ['pg', 'child-program', 'errors'],
  jobs: ['pg', 'async', 'errors', 'tls'],
  metrics: ['async', 'measurements', 'ports', 'errors', 'rules'],
  pg: ['errors', 'tls'],
  config: ['errors', 'rules'],
  ports: ['rules'],
  measurements: ['rules'],
  client: ['rules'],
  action: ['rules'],
  async: ['errors'],
  log: ['errors', 'program-name'],
  simulator: [],
  rules: [],
  errors: [],
  tls: [],
  'child-program': [],
  'program-name': [],
  version: [],
}

/** Parts that import neither other parts, nor packages, nor modules of Node.js. */
const PURE = new Set(['rules'])

/** Maximum length of a file. A longer file has more than one subject. */
const MAX_FILE_LINES = 200

/** Maximum length of a function. A longer function has more than one level of abstraction. */
const MAX_FUNCTION_LINES = 60

interface Source {
  file: string
  part: string
  imports: string[]
  /** The imports that Node.js loads together with the file. Imports of types and dynamic imports are not among them. */
  loadedPaths: string[]
}

const sources = await readSources()

test('every part of src imports only the parts that it may import', () => {
  const violations = sources.flatMap(({ file, part, imports }) =>
    imports
      .filter((path) => path.startsWith('src/'))
      .filter((path) => partOf(path) !== part && !ALLOWED[part]?.includes(partOf(path)))
      .map((path) => `${file} imports ${path}`),
  )
  expect(violations).toEqual([])
})

test('the files of src/rules import only files of src/rules', () => {
  const violations = sources
    .filter(({ part }) => PURE.has(part))
    .flatMap(({ file, imports }) =>
      imports.filter((path) => partOf(path) !== 'rules').map((path) => `${file}: ${path}`),
    )
  expect(violations).toEqual([])
})

test('no import cycle exists', () => {
  const byFile = new Map(sources.map((source) => [source.file, source.imports]))
  const visited = new Set<string>()
  const visit = (file: string, path: string[]): string[] => {
    if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(' > ')]
    if (visited.has(file)) return []
    const cycles = (byFile.get(file) ?? []).flatMap((next) => visit(next, [...path, file]))
    visited.add(file)
    return cycles
  }
  expect(sources.flatMap(({ file }) => visit(file, []))).toEqual([])
})

// These commands are started often. Loading one of `slowPackages` takes longer than loading everything else.
test.each(['explain', 'floor', 'forget', 'logout', 'status'])(
  'the command `%s` loads the store, and none of the slow packages',
  (command) => {
    const loadedPaths = closureOf(`src/commands/${command}.ts`)
    expect([...loadedPaths]).toContain('@prisma/adapter-pg')
    const slowPackages = ['auth0', 'bullmq', 'fastify', 'prom-client', 'embedded-postgres']
    for (const name of slowPackages) expect([...loadedPaths]).not.toContain(name)
  },
)

// Loading Auth0's SDK takes half a second and more than 30 MB of memory. The worker does not use it.
test('reading the log does not load Auth0’s SDK', () => {
  expect([...closureOf('src/auth0/management-api.ts')]).not.toContain('auth0')
})

// Container engines run `healthcheck` every few seconds.
test('healthcheck loads only the modules with which it sends a request', () => {
  expect([...closureOf('src/commands/healthcheck.ts')].sort()).toEqual([
    'node:events',
    'node:http',
    'node:net',
    'src/commands/healthcheck.ts',
    'src/config/api-address.ts',
    'src/errors.ts',
  ])
})

/** Returns everything that Node.js loads with a file: files of `src`, packages, and modules of Node.js. */
function closureOf(file: string): Set<string> {
  const byFile = new Map(sources.map((source) => [source.file, source.loadedPaths]))
  const loadedFiles = new Set([file])
  for (const path of loadedFiles) for (const next of byFile.get(path) ?? []) loadedFiles.add(next)
  return loadedFiles
}

test('no file of src has more than 200 lines', async () => {
  const lengths = await Promise.all(
    sources.map(async ({ file }) => ({
      file,
      lines: (await readFile(file, 'utf8')).split('\n').length - 1,
    })),
  )
  expect(lengths.filter(({ lines }) => lines > MAX_FILE_LINES)).toEqual([])
})

test('no function of src has more than 60 lines', async () => {
  const functions = (await Promise.all(sources.map(({ file }) => measureFunctions(file)))).flat()
  expect(functions.filter(({ lines }) => lines > MAX_FUNCTION_LINES)).toEqual([])
  // Fails if the measurement misses functions, or measures too few lines.
  expect(functions.length).toBeGreaterThan(1_000)
  expect(Math.max(...functions.map(({ lines }) => lines))).toBeGreaterThan(MAX_FUNCTION_LINES / 2)
})

/** Returns the length of every function and method of a file. Locates functions that are too long. */
async function measureFunctions(file: string): Promise<{ location: string; lines: number }[]> {
  const text = await readFile(file, 'utf8')
  const lengths: { location: string; lines: number }[] = []
  const countLines = (from: number, to: number) => text.slice(from, to).split('\n').length
  const measure = ({ body, start, end }: { body: object | null; start: number; end: number }) => {
    const lines = countLines(start, end)
    const location = lines > MAX_FUNCTION_LINES ? `${file}:${countLines(0, start)}` : file
    if (body !== null) lengths.push({ location, lines })
  }
  new Visitor({
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  }).visit(parseSync(file, text).program)
  return lengths
}

test('the list of allowed imports contains every part of src', () => {
  expect(
    [...new Set(sources.map(({ part }) => part))].filter((part) => !(part in ALLOWED)),
  ).toEqual([])
  expect(sources.length).toBeGreaterThan(40)
})

test('only the main files use the environment variables, arguments, streams, signals and exit code of the process', async () => {
  const files = await Promise.all(
    sources.map(async ({ file }) => {
      const text = await readFile(file, 'utf8')
      return /\bprocess\.(env|argv|exit|exitCode|on|once|stdout|stderr)\b/.test(text) ? file : []
    }),
  )
  expect(files.flat()).toEqual(['src/main.ts', 'src/simulator/main.ts'])
})

async function readSources(): Promise<Source[]> {
  const files = (await readdir('src', { recursive: true }))
    .map((file) => join('src', file))
    .filter((file) => file.endsWith('.ts') && !file.includes('/generated/'))
    .sort()
  return Promise.all(
    files.map(async (file) => {
      return { file, part: partOf(file), ...(await readImports(file)) }
    }),
  )
}

/** Returns the imports and re-exports of a file: the paths of files of `src`, and the names of packages. */
async function readImports(file: string): Promise<Pick<Source, 'imports' | 'loadedPaths'>> {
  const text = await readFile(file, 'utf8')
  const { module } = parseSync(file, text)
  const staticImports = module.staticImports.map(({ moduleRequest, entries }) => ({
    path: moduleRequest.value,
    isType: entries.length > 0 && entries.every(({ isType }) => isType),
  }))
  const reExports = module.staticExports
    .flatMap(({ entries }) => entries)
    .flatMap(({ moduleRequest, isType }) =>
      moduleRequest === null ? [] : { path: moduleRequest.value, isType },
    )
  const dynamicPaths = module.dynamicImports.map(({ moduleRequest }) =>
    text.slice(moduleRequest.start + 1, moduleRequest.end - 1),
  )
  const importsAndReExports = [...staticImports, ...reExports]
  const resolve = (paths: string[]) =>
    paths
      .map((path) => (path.startsWith('.') ? toSourceFile(file, path) : path))
      .filter((path) => !path.includes('/generated/'))
  return {
    imports: resolve([...importsAndReExports.map(({ path }) => path), ...dynamicPaths]),
    loadedPaths: resolve(
      importsAndReExports.filter(({ isType }) => !isType).map(({ path }) => path),
    ),
  }
}

function toSourceFile(importer: string, path: string): string {
  return normalize(join(dirname(importer), path)).replace(/\.js$/, '.ts')
}

/** Returns the part of `src` to which a path belongs: a folder in `src`, or a file in `src` without its extension. */
function partOf(path: string): string {
  return path.startsWith('src/') ? (path.split('/')[1] ?? '').replace(/\.ts$/, '') : path
}
