import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import { expect, test } from 'vitest'

/** What each part of the house may import from the others. Arrows only point down. */
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
  demo: ['service', 'auth0', 'config', 'async', 'simulator', 'client'],
  // It checks what the service is connected to, without starting the service.
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
  http: ['config', 'async', 'measurements', 'ports', 'errors', 'rules'],
  sync: ['async', 'measurements', 'ports', 'errors', 'rules'],
  auth0: ['async', 'measurements', 'ports', 'errors', 'tls', 'rules'],
  store: ['pg', 'async', 'ports', 'errors', 'rules'],
  'embedded-postgres': ['pg', 'errors'],
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
  'program-name': [],
  version: [],
}

/** Parts that may not import packages or Node's modules either. */
const PURE = new Set(['rules'])

/** A longer file has more than one subject. */
const MAX_FILE_LINES = 200

/** A longer function has more than one level of abstraction. */
const MAX_FUNCTION_LINES = 60

interface Source {
  file: string
  part: string
  imports: string[]
  /** Those that are loaded with it: no types, and none that waits until it is needed. */
  loaded: string[]
}

const sources = await readSources()

test('every part imports only what lies below it', () => {
  const wrong = sources.flatMap(({ file, part, imports }) =>
    imports
      .filter((path) => path.startsWith('src/'))
      .filter((path) => partOf(path) !== part && !ALLOWED[part]?.includes(partOf(path)))
      .map((path) => `${file} imports ${path}`),
  )
  expect(wrong).toEqual([])
})

test('the rules import nothing outside themselves', () => {
  const wrong = sources
    .filter(({ part }) => PURE.has(part))
    .flatMap(({ file, imports }) =>
      imports.filter((path) => partOf(path) !== 'rules').map((path) => `${file}: ${path}`),
    )
  expect(wrong).toEqual([])
})

test('no file imports itself by way of others', () => {
  const byFile = new Map(sources.map((source) => [source.file, source.imports]))
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string[] => {
    if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(' > ')]
    if (done.has(file)) return []
    const cycles = (byFile.get(file) ?? []).flatMap((next) => visit(next, [...path, file]))
    done.add(file)
    return cycles
  }
  expect(sources.flatMap(({ file }) => visit(file, []))).toEqual([])
})

// They run beside the service, by hand or by a script: each of these costs more time than the rest.
test.each(['explain', 'floor', 'forget', 'logout', 'status'])(
  '%s loads no more than the store',
  (command) => {
    const loaded = closureOf(`src/commands/${command}.ts`)
    expect([...loaded]).toContain('@prisma/adapter-pg')
    for (const name of ['auth0', 'bullmq', 'fastify', 'prom-client', 'embedded-postgres'])
      expect([...loaded]).not.toContain(name)
  },
)

// Container engines run it every few seconds.
test('healthcheck loads nothing but what sends a request', () => {
  expect([...closureOf('src/commands/healthcheck.ts')].sort()).toEqual([
    'node:events',
    'node:http',
    'node:net',
    'src/commands/healthcheck.ts',
    'src/config/api-address.ts',
    'src/errors.ts',
  ])
})

/** All that is loaded with a file: files of ours, packages and modules of Node's. */
function closureOf(file: string): Set<string> {
  const byFile = new Map(sources.map((source) => [source.file, source.loaded]))
  const found = new Set([file])
  for (const path of found) for (const next of byFile.get(path) ?? []) found.add(next)
  return found
}

test('no file of src is longer than one subject needs', async () => {
  const lengths = await Promise.all(
    sources.map(async ({ file }) => ({
      file,
      lines: (await readFile(file, 'utf8')).split('\n').length - 1,
    })),
  )
  expect(lengths.filter(({ lines }) => lines > MAX_FILE_LINES)).toEqual([])
})

test('no function of src is longer than one level of abstraction needs', async () => {
  const functions = (await Promise.all(sources.map(({ file }) => measureFunctions(file)))).flat()
  expect(functions.filter(({ lines }) => lines > MAX_FUNCTION_LINES)).toEqual([])
  expect(functions.length).toBeGreaterThan(1_000)
  expect(Math.max(...functions.map(({ lines }) => lines))).toBeGreaterThan(MAX_FUNCTION_LINES / 2)
})

/** Every function and method with a body, from its first line to its last. */
async function measureFunctions(file: string): Promise<{ at: string; lines: number }[]> {
  const text = await readFile(file, 'utf8')
  const found: { at: string; lines: number }[] = []
  const countLines = (from: number, to: number) => text.slice(from, to).split('\n').length
  const measure = ({ body, start, end }: { body: object | null; start: number; end: number }) => {
    const lines = countLines(start, end)
    // The line is for the message of a failure only.
    const at = lines > MAX_FUNCTION_LINES ? `${file}:${countLines(0, start)}` : file
    if (body !== null) found.push({ at, lines })
  }
  new Visitor({
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  }).visit(parseSync(file, text).program)
  return found
}

test('every part is known', () => {
  expect(
    [...new Set(sources.map(({ part }) => part))].filter((part) => !(part in ALLOWED)),
  ).toEqual([])
  expect(sources.length).toBeGreaterThan(40)
})

test('only main.ts touches the environment, the arguments, the streams and the end of the process', async () => {
  const touching = await Promise.all(
    sources.map(async ({ file }) => {
      const text = await readFile(file, 'utf8')
      return /\bprocess\.(env|argv|exit|exitCode|on|once|stdout|stderr)\b/.test(text) ? file : []
    }),
  )
  expect(touching.flat()).toEqual(['src/main.ts'])
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

/** Static, re-exporting and dynamic imports, of types too; those of ours as paths of source files. */
async function readImports(file: string): Promise<Pick<Source, 'imports' | 'loaded'>> {
  const text = await readFile(file, 'utf8')
  const { module } = parseSync(file, text)
  const statics = module.staticImports.map(({ moduleRequest, entries }) => ({
    path: moduleRequest.value,
    isType: entries.length > 0 && entries.every(({ isType }) => isType),
  }))
  const exported = module.staticExports
    .flatMap(({ entries }) => entries)
    .flatMap(({ moduleRequest, isType }) =>
      moduleRequest === null ? [] : { path: moduleRequest.value, isType },
    )
  const dynamic = module.dynamicImports.map(({ moduleRequest }) =>
    text.slice(moduleRequest.start + 1, moduleRequest.end - 1),
  )
  const all = [...statics, ...exported]
  const resolve = (paths: string[]) =>
    paths
      .map((path) => (path.startsWith('.') ? toSourceFile(file, path) : path))
      .filter((path) => !path.includes('/generated/'))
  return {
    imports: resolve([...all.map(({ path }) => path), ...dynamic]),
    loaded: resolve(all.filter(({ isType }) => !isType).map(({ path }) => path)),
  }
}

function toSourceFile(importer: string, path: string): string {
  return normalize(join(dirname(importer), path)).replace(/\.js$/, '.ts')
}

/** The folder below src, or the file in it. */
function partOf(path: string): string {
  return path.startsWith('src/') ? (path.split('/')[1] ?? '').replace(/\.ts$/, '') : path
}
