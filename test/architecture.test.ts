import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import { expect, test } from 'vitest'

// A part of `src` is a folder in `src`, or a file in `src`.

/** For each part of `src`, the other parts that it may import. */
const ALLOWED_IMPORTS: Record<string, string[]> = {
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

/** Maximum length of a file. A longer file has more than one subject. */
const MAX_FILE_LINES = 200

/** Maximum length of a function. A longer function has more than one level of abstraction. */
const MAX_FUNCTION_LINES = 60

/** A source file. Its imports are paths of files of `src`, names of packages, or names of modules of Node.js. */
interface Source {
  file: string
  part: string
  imports: string[]
  /** The imports that Node.js loads together with the file: all except imports of types and dynamic imports. */
  loadedPaths: string[]
}

const sources = await readSources()

test('every part of src imports only the parts that ALLOWED_IMPORTS lists for it', () => {
  const violations = sources.flatMap(({ file, part, imports }) =>
    imports
      .filter((path) => path.startsWith('src/'))
      .filter((path) => partOf(path) !== part && !ALLOWED_IMPORTS[part]?.includes(partOf(path)))
      .map((path) => `${file} imports ${path}`),
  )
  expect(violations).toEqual([])
})

test('the files of src/rules import only each other: no other part, no package and no module of Node.js', () => {
  const violations = sources
    .filter(({ part }) => part === 'rules')
    .flatMap(({ file, imports }) =>
      imports.filter((path) => partOf(path) !== 'rules').map((path) => `${file}: ${path}`),
    )
  expect(violations).toEqual([])
})

test('the imports of src contain no cycle', () => {
  const importsOf = new Map(sources.map(({ file, imports }) => [file, imports]))
  const visited = new Set<string>()
  /**
   * Returns the cycles among the files that `file` imports directly or indirectly. `importers` is the chain of imports
   * that led to `file`.
   */
  const findCycles = (file: string, importers: string[]): string[] => {
    if (importers.includes(file)) {
      return [[...importers.slice(importers.indexOf(file)), file].join(' > ')]
    }
    if (visited.has(file)) return []
    const cycles = (importsOf.get(file) ?? []).flatMap((next) =>
      findCycles(next, [...importers, file]),
    )
    visited.add(file)
    return cycles
  }
  expect(sources.flatMap(({ file }) => findCycles(file, []))).toEqual([])
})

/** Packages that load slowly: each of them takes longer than everything else together that a short command loads. */
const SLOW_PACKAGES = ['auth0', 'bullmq', 'fastify', 'prom-client', 'embedded-postgres']

// Operators and scripts start these commands often, so they must start quickly.
test.each(['explain', 'floor', 'forget', 'logout', 'status'])(
  'the command `%s` loads the database driver, and no slow package',
  (command) => {
    const loadedPaths = listLoadedPaths(`src/commands/${command}.ts`)
    expect(loadedPaths).toContain('@prisma/adapter-pg')
    for (const name of SLOW_PACKAGES) expect(loadedPaths).not.toContain(name)
  },
)

// Loading Auth0's SDK takes half a second and more than 30 MB of memory. The worker does not use it.
test.each(['log-source', 'management-api'])(
  'reading the log does not load Auth0’s SDK: src/auth0/%s.ts',
  (name) => {
    expect(listLoadedPaths(`src/auth0/${name}.ts`)).not.toContain('auth0')
  },
)

// Container engines run `healthcheck` every few seconds.
test('the command `healthcheck` loads only what it needs to send an HTTP request', () => {
  expect(listLoadedPaths('src/commands/healthcheck.ts').sort()).toEqual([
    'node:events',
    'node:http',
    'node:net',
    'src/commands/healthcheck.ts',
    'src/config/api-address.ts',
    'src/errors.ts',
  ])
})

/** Returns everything that Node.js loads with a file, directly and indirectly, including the file. */
function listLoadedPaths(file: string): string[] {
  const pathsLoadedBy = new Map(sources.map((source) => [source.file, source.loadedPaths]))
  const loadedPaths = new Set([file])
  // The loop also reaches the paths that are added to the set during the loop.
  for (const path of loadedPaths) {
    for (const next of pathsLoadedBy.get(path) ?? []) loadedPaths.add(next)
  }
  return [...loadedPaths]
}

test('no TypeScript or JavaScript file of src has more than 200 lines', async () => {
  const lengths = await Promise.all(
    (await listFiles(/\.(ts|js)$/)).map(async (file) => ({
      file,
      lines: (await readFile(file, 'utf8')).split('\n').length - 1,
    })),
  )
  expect(lengths.filter(({ lines }) => lines > MAX_FILE_LINES)).toEqual([])
})

test('no function of src has more than 60 lines', async () => {
  const functions = (await Promise.all(sources.map(({ file }) => measureFunctions(file)))).flat()
  expect(functions.filter(({ lines }) => lines > MAX_FUNCTION_LINES)).toEqual([])
  // The following expectations fail if `measureFunctions` misses functions, or counts too few lines.
  expect(functions.length).toBeGreaterThan(1_000)
  expect(Math.max(...functions.map(({ lines }) => lines))).toBeGreaterThan(MAX_FUNCTION_LINES / 2)
})

/** Returns the location and the number of lines of every function and method of a file. */
async function measureFunctions(file: string): Promise<{ location: string; lines: number }[]> {
  const text = await readFile(file, 'utf8')
  const functions: { location: string; lines: number }[] = []
  const countLines = (from: number, to: number) => text.slice(from, to).split('\n').length
  const measure = ({ body, start, end }: { body: object | null; start: number; end: number }) => {
    // The declaration of an overload has no body.
    if (body === null) return
    functions.push({ location: `${file}:${countLines(0, start)}`, lines: countLines(start, end) })
  }
  new Visitor({
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  }).visit(parseSync(file, text).program)
  return functions
}

test('ALLOWED_IMPORTS contains every part of src', () => {
  const parts = new Set(sources.map(({ part }) => part))
  expect([...parts].filter((part) => !(part in ALLOWED_IMPORTS))).toEqual([])
  // This expectation fails if `readSources` misses files.
  expect(sources.length).toBeGreaterThan(40)
})

test('only src/main.ts and src/simulator/main.ts use the environment variables, arguments, streams, signals and exit code of the process', async () => {
  const files: string[] = []
  for (const { file } of sources) {
    const text = await readFile(file, 'utf8')
    if (/\bprocess\.(env|argv|exit|exitCode|on|once|stdout|stderr)\b/.test(text)) files.push(file)
  }
  expect(files).toEqual(['src/main.ts', 'src/simulator/main.ts'])
})

/** Reads all files of `src`, except generated code. */
async function readSources(): Promise<Source[]> {
  const files = await listFiles(/\.ts$/)
  return Promise.all(
    files.map(async (file) => ({ file, part: partOf(file), ...(await readImports(file)) })),
  )
}

/** Lists the files of `src` whose names match, without generated code. */
async function listFiles(name: RegExp): Promise<string[]> {
  return (await readdir('src', { recursive: true }))
    .map((file) => join('src', file))
    .filter((file) => name.test(file) && !file.includes('/generated/'))
    .sort()
}

/** Returns the imports and re-exports of a file, without those of generated code. */
async function readImports(file: string): Promise<Pick<Source, 'imports' | 'loadedPaths'>> {
  const text = await readFile(file, 'utf8')
  const { module } = parseSync(file, text)
  const staticImports = module.staticImports.map(({ moduleRequest, entries }) => ({
    path: moduleRequest.value,
    // An import without names, such as `import './set-up.js'`, loads its file.
    isType: entries.length > 0 && entries.every(({ isType }) => isType),
  }))
  // An export of a name that the file itself declares has no `moduleRequest`.
  const reExports = module.staticExports
    .flatMap(({ entries }) => entries)
    .flatMap(({ moduleRequest, isType }) =>
      moduleRequest === null ? [] : { path: moduleRequest.value, isType },
    )
  // The source text of the path, without its quotes.
  const dynamicPaths = module.dynamicImports.map(({ moduleRequest }) =>
    text.slice(moduleRequest.start + 1, moduleRequest.end - 1),
  )
  const importsAndReExports = [...staticImports, ...reExports]
  const resolvePaths = (paths: string[]) =>
    paths
      .map((path) => (path.startsWith('.') ? resolveImport(file, path) : path))
      .filter((path) => !path.includes('/generated/'))
  return {
    imports: resolvePaths([...importsAndReExports.map(({ path }) => path), ...dynamicPaths]),
    loadedPaths: resolvePaths(
      importsAndReExports.filter(({ isType }) => !isType).map(({ path }) => path),
    ),
  }
}

/** Returns the source file in `src` that a relative import refers to. */
function resolveImport(importer: string, path: string): string {
  return normalize(join(dirname(importer), path)).replace(/\.js$/, '.ts')
}

/** Returns the part of `src` to which a file belongs. Returns the names of packages and modules unchanged. */
function partOf(path: string): string {
  if (!path.startsWith('src/')) return path
  const [, folderOrFile = ''] = path.split('/')
  return folderOrFile.replace(/\.ts$/, '')
}
