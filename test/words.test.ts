import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import { describe, expect, test } from 'vitest'

// These tests keep the language of the project plain: they reject phrases that made texts hard to read, and enforce the
// conventions for names, log messages and tests.

/** The folders whose source files are checked, except generated code and fixtures. */
const FOLDERS = ['src', 'test', 'bench', 'campaign', 'soak', 'scripts']

/**
 * Files that may contain forbidden phrases: this file, which lists them, and a file that needs the name of the system
 * user `nobody`.
 */
const EXCLUDED_FILES = ['test/words.test.ts', 'src/embedded-postgres/binaries.ts']

/**
 * Names that several exports may share: each adapter of the client and of the simulator exports its function under the
 * same public name, and Vitest calls `setup` of every global set-up.
 */
const SHARED_NAMES = ['endLoggedOutSessions', 'lastLogout', 'setup', 'useSimulator']

/** Phrases that comments, strings and documents must not contain, and what to write instead of each phrase. */
const FORBIDDEN_PHRASES: [phrase: RegExp, instead: string][] = [
  [
    /\b(is|are|was|were|be|been|gets?) told\b/i,
    'receives, is notified, or the name of the argument',
  ],
  [/\btells\b/i, 'reports, returns, or contains'],
  [/\b(is|are|was) said\b|\bsays so\b/i, 'is logged, or is reported'],
  [
    /\b(nobody|somebody|anybody|everybody|whoever)\b(?!@)/i,
    'the subject, such as a process or a user',
  ],
  [/\btakes? leave\b/i, 'closes, or disconnects'],
  [/\bc[ao]mes? (upon|to know)\b/i, 'detects, or receives'],
  [/\blooks? whether\b/i, 'checks whether'],
  [/\bask(s|ed)? (again|anew|whether)\b/i, 'retries, or checks whether'],
  [/\bshall\b/i, 'must, or the present tense'],
  [/\b(has|have|is) gone\b/i, 'is closed, missing or unavailable'],
  [/\bpatience\b/i, 'timeout, or grace period'],
  [/\bmakes? way\b/i, 'releases'],
  [/\bfall(s|en)? silent\b/i, 'does not respond'],
  [/\bby its own word\b/i, 'the errors it throws'],
  [/\bas ever\b/i, 'as before'],
  [/\btold\b|\b(can|could|does|do|to) ?(not)? tell\b/i, 'is unknown, or is not stated'],
  [/\blook(s|ed|ing)? (after|for)\b/i, 'checks, or searches for'],
  [/\b(an|no|the|its|each|every|this|that|of) answers?\b/i, 'response'],
  [/\b(is|are|was|were) away\b/i, 'is unavailable'],
  [/\bas it should( be)?\b/i, 'what is correct'],
]

/** Matches forbidden names. A bound must be named MAX_… or MIN_…, and a waiting time …TimeoutMs or …GraceMs. */
const FORBIDDEN_NAME = /^(LONGEST|MOST|SHORTEST|LEAST|SLOWEST|FEWEST)_|PATIENCE|patience/

/** Matches names of constants with a unit before the end, such as MAX_BYTES_BODY instead of MAX_BODY_BYTES. */
const UNIT_NOT_LAST = /(^|_)(MS|SECONDS|MINUTES|HOURS|DAYS|BYTES|MB)_/

/** What is checked in a source file. */
interface Source {
  file: string
  /** Comments and strings, each with the number of its line. */
  texts: [text: string, line: number][]
  /** Declared variables, functions, parameters and fields of types. Also `it`, if the file imports it. */
  names: string[]
  /** Names that the file declares and exports, without names that it re-exports. */
  exported: string[]
  /** The messages of log calls. */
  messages: string[]
}

const sources = await readSources()

describe('every source file', () => {
  test('comments and strings of source files contain no forbidden phrase', () => {
    const violations = sources.flatMap(({ file, texts }) =>
      texts.flatMap(([text, line]) => findForbidden(text, `${file}:${line}`)),
    )
    expect(violations).toEqual([])
  })

  test('names of bounds begin with MAX_ or MIN_, and units are at the end of names', () => {
    const violations = sources.flatMap(({ file, names }) =>
      names
        .filter((name) => FORBIDDEN_NAME.test(name) || UNIT_NOT_LAST.test(name))
        .map((name) => `${file}: ${name}`),
    )
    expect(violations).toEqual([])
  })

  test('log messages are constant, begin in lower case or with the SQL keyword LISTEN, and contain no full stop', () => {
    const violations = sources.flatMap(({ file, messages }) =>
      messages
        // A template string begins with a backtick here, so it does not match: it may not be constant.
        .filter((message) => !/^([a-z]|LISTEN )[^.]*$/.test(message))
        .map((message) => `${file}: ${message}`),
    )
    expect(violations).toEqual([])
  })

  test('every test is defined with `test`, never with `it`', () => {
    const violations = sources.filter(({ names }) => names.includes('it')).map(({ file }) => file)
    expect(violations).toEqual([])
  })
})

test('no two files export the same name, except SHARED_NAMES', () => {
  const filesOf = new Map<string, string[]>()
  for (const { file, exported } of sources) {
    for (const name of exported) filesOf.set(name, [...(filesOf.get(name) ?? []), file])
  }
  const sharedNames = [...filesOf].filter(([, files]) => new Set(files).size > 1)
  expect(sharedNames.filter(([name]) => !SHARED_NAMES.includes(name))).toEqual([])
  // Each exception is still needed.
  for (const name of SHARED_NAMES) expect(filesOf.get(name)?.length).toBeGreaterThan(1)
})

test('documents and the alerts of Prometheus contain no forbidden phrase', async () => {
  const documents = await readDocuments()
  expect(documents.length).toBeGreaterThan(15)
  const violations = documents.flatMap(([file, text]) =>
    text.split('\n').flatMap((line, index) => findForbidden(line, `${file}:${index + 1}`)),
  )
  expect(violations).toEqual([])
})

test('the checks read files of every folder, and find many texts, names, exports and log messages', () => {
  for (const folder of FOLDERS) {
    expect(sources.some(({ file }) => file.startsWith(`${folder}/`))).toBe(true)
  }
  const count = (key: 'texts' | 'names' | 'exported' | 'messages') =>
    sources.flatMap((source) => source[key] as unknown[]).length
  expect(count('texts')).toBeGreaterThan(1_000)
  expect(count('names')).toBeGreaterThan(500)
  expect(count('exported')).toBeGreaterThan(50)
  expect(count('messages')).toBeGreaterThan(3)
})

/** Returns a message for each forbidden phrase in a text. `place` is its file and line. */
function findForbidden(text: string, place: string): string[] {
  return FORBIDDEN_PHRASES.flatMap(([phrase, instead]) => {
    const [match] = phrase.exec(text) ?? []
    return match === undefined ? [] : `${place} "${match}": write ${instead}`
  })
}

/** Reads all Markdown documents, except those of examples, and the YAML files in `docs`. */
async function readDocuments(): Promise<[file: string, text: string][]> {
  const folders = ['.', 'docs', 'src/client', 'src/simulator']
  const names = await Promise.all(
    folders.map(async (folder) => (await readdir(folder)).map((name) => join(folder, name))),
  )
  const files = names.flat().filter((file) => /\.md$|^docs\/.*\.yml$/.test(file))
  return Promise.all(
    files.map(async (file): Promise<[string, string]> => [file, await readFile(file, 'utf8')]),
  )
}

async function readSources(): Promise<Source[]> {
  const folders = await Promise.all(
    FOLDERS.map(async (folder) =>
      (await readdir(folder, { recursive: true })).map((file) => join(folder, file)),
    ),
  )
  const files = folders
    .flat()
    .filter(
      (file) => /\.(ts|js|mjs)$/.test(file) && !/\/(generated|fixtures|node_modules)\//.test(file),
    )
    .filter((file) => !EXCLUDED_FILES.includes(file))
  return Promise.all(
    files.sort().map(async (file) => parseSource(file, await readFile(file, 'utf8'))),
  )
}

/** Reads the texts, names, exports and log messages of a source file. */
function parseSource(file: string, code: string): Source {
  const { program, comments, module } = parseSync(file, code)
  const source: Source = { file, texts: [], names: [], exported: [], messages: [] }
  const textOf = ({ start, end }: { start: number; end: number }) => code.slice(start, end)
  const addText = (text: string, start: number) =>
    source.texts.push([text, code.slice(0, start).split('\n').length])
  const addName = (node: { type: string; name?: unknown } | null) => {
    if (node?.type === 'Identifier') source.names.push(String(node.name))
  }
  // Joins the lines of a comment, because a phrase can begin on one line and end on the next line.
  for (const { value, start } of comments) addText(value.replace(/\s*\n[\s*]*/g, ' '), start)
  new Visitor({
    Literal({ value, start }) {
      if (typeof value === 'string') addText(value, start)
    },
    TemplateElement({ value, start }) {
      addText(value.raw, start)
    },
    VariableDeclarator({ id }) {
      addName(id)
    },
    FunctionDeclaration({ id, params }) {
      for (const node of [id, ...params]) addName(node)
    },
    ArrowFunctionExpression({ params }) {
      for (const node of params) addName(node)
    },
    TSPropertySignature({ key }) {
      addName(key)
    },
    ImportSpecifier({ imported }) {
      if (imported.type === 'Identifier' && imported.name === 'it') addName(imported)
    },
    CallExpression({ callee, arguments: args }) {
      // Matches `log.info` and `this.log.info`. The message is the last argument.
      const message = args.at(-1)
      if (!/\blog\.(trace|debug|info|warn|error|fatal)$/i.test(textOf(callee))) return
      if (message?.type === 'TemplateLiteral') source.messages.push(textOf(message))
      if (message?.type === 'Literal') source.messages.push(String(message.value))
    },
  }).visit(program)
  source.exported = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, exportName: { name } }) =>
      moduleRequest === null && name !== null ? [name] : [],
    ),
  )
  return source
}
