import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { parseSync, Visitor } from 'oxc-parser'
import { describe, expect, test } from 'vitest'
import { LastLogoutError } from '../src/errors.js'
import { createLog } from '../src/log.js'
import { nameProgram, type ProgramStart, readProgramName } from '../src/program-name.js'

// Messages of the service contain commands such as `last-logout migrate`. `readProgramName` determines how an operator
// can start the program, such as `npx last-logout`. `nameProgram` puts this name into the commands of a message.

/** A start with `node dist/main.js` in the directory `/srv/app`. */
const PLAIN_START: ProgramStart = { script: '/srv/app/dist/main.js', cwd: '/srv/app', env: {} }
/** Returns the environment variables that npm sets for a program. `npm_lifecycle_script` is the line that npm runs. */
const npmEnv = (command: 'run' | 'exec', scriptName: string, script: string) => ({
  npm_command: command,
  npm_lifecycle_event: scriptName,
  npm_lifecycle_script: script,
})
/** Returns the description of a Docker container in which the program was started in this way. */
const container = (startedBy: 'run' | 'exec' | 'shell') => ({
  engine: 'docker' as const,
  id: '0123456789ab',
  startedBy,
})

describe('readProgramName', () => {
  test.each<[start: string, overrides: Partial<ProgramStart>, name: string]>([
    ['node dist/main.js', {}, 'node dist/main.js'],
    ['node /srv/app/dist/main.js in a parent directory', { cwd: '/' }, 'node srv/app/dist/main.js'],
    [
      'node ../app/dist/main.js in another directory',
      { cwd: '/srv/other' },
      'node /srv/app/dist/main.js',
    ],
    [
      'a script whose path contains a space and a quote',
      { script: "/srv/a b/it's/main.js", cwd: '/home' },
      "node '/srv/a b/it'\\''s/main.js'",
    ],
    [
      'npx last-logout',
      {
        script: '/root/.npm/_npx/6d/node_modules/.bin/last-logout',
        env: npmEnv('exec', 'npx', "'last-logout'"),
      },
      'npx last-logout',
    ],
    [
      'an npm script of another package that depends on last-logout',
      {
        script: '/srv/app/node_modules/.bin/last-logout',
        env: npmEnv('run', 'start', 'last-logout start'),
      },
      'node_modules/.bin/last-logout',
    ],
    [
      'node_modules/.bin/last-logout in another directory',
      { script: '/srv/other/node_modules/.bin/last-logout' },
      '/srv/other/node_modules/.bin/last-logout',
    ],
    [
      'npm run demo, a script that always runs the command `demo`',
      { env: npmEnv('run', 'demo', 'npm run --silent build && node dist/main.js demo') },
      'node dist/main.js',
    ],
    [
      'npm run with a script to which a command can be appended',
      { env: npmEnv('run', 'logout-service', 'node dist/main.js') },
      'npm run logout-service --',
    ],
    [
      'a start by pm2, which npx had started',
      { env: npmEnv('exec', 'npx', "'pm2'") },
      'node dist/main.js',
    ],
    [
      'a global installation',
      { script: '/usr/local/bin/last-logout', env: { PATH: '/usr/bin:/usr/local/bin' } },
      'last-logout',
    ],
    [
      'a link in a directory outside of PATH',
      { script: '/opt/last-logout', env: { PATH: '/usr/bin' } },
      'node /opt/last-logout',
    ],
    [
      'docker exec in a container',
      { container: container('exec') },
      'docker exec 0123456789ab node dist/main.js',
    ],
    ['a shell in a container', { container: container('shell') }, 'node dist/main.js'],
    [
      'the main process of a container, which stops when this process ends',
      { container: container('run') },
      'node dist/main.js',
    ],
  ])(
    'readProgramName returns the command that starts the program again after this process has ended: %s',
    (_start, overrides, name) => {
      expect(readProgramName({ ...PLAIN_START, ...overrides }, false)).toBe(name)
    },
  )

  test("while a container's main process is running, readProgramName returns a command that runs in that container", () => {
    const start = { ...PLAIN_START, container: container('run') }
    expect(readProgramName(start, true)).toBe('docker exec 0123456789ab node dist/main.js')
  })
})

// In a replacement string of `String.replace`, `$&` would have a special meaning.
test.each([
  ['run `last-logout migrate`', 'run `node $&.js migrate`'],
  ['see last-logout --help', 'see node $&.js --help'],
  ['last-logout: it failed', 'last-logout: it failed'],
  ['last-logout is running', 'last-logout is running'],
  ['/opt/last-logout start', '/opt/last-logout start'],
  ['the user last-logout starts', 'the user last-logout starts'],
])('nameProgram replaces `last-logout` in "%s" only if it begins a command', (text, expected) => {
  expect(nameProgram(text, 'node $&.js')).toBe(expected)
})

test('a log line contains the name of the program in the commands of the advice, the error and its cause', async () => {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const log = (await createLog('info', stream, 'npx last-logout')).child({ part: 'store' })
  const cause = new LastLogoutError('USAGE', 'see `last-logout status`')
  const err = new LastLogoutError('CONFIGURATION', 'run `last-logout migrate`', { cause })
  log.info({ err, advice: 'run `last-logout doctor`' }, 'failed')
  expect(JSON.parse(text)).toMatchObject({
    err: {
      message: 'run `npx last-logout migrate`',
      cause: { message: 'see `npx last-logout status`' },
    },
    advice: 'run `npx last-logout doctor`',
  })
})

/** Files whose texts operators of the service do not read. */
const EXCLUDED_FILES = /^src\/(action|client|simulator)\//

describe('the texts in the sources of the service', async () => {
  const texts = await readTexts()
  /** Stands for a command that `nameProgram` has found. */
  const MARK = '%'
  const markCommands = (text: string) => nameProgram(text, MARK)

  test('nameProgram replaces `last-logout` in every command in backticks', () => {
    // Where `last-logout` stands outside of backticks, the text is a sentence about the program.
    const remainingCommands = texts.filter(([, text]) =>
      /`[^`]*last-logout [a-z-]/.test(markCommands(text)),
    )
    expect(remainingCommands).toEqual([])
    // Makes the test fail if `readTexts` misses texts.
    expect(texts.filter(([, text]) => markCommands(text) !== text).length).toBeGreaterThan(15)
  })

  test('every command that starts with `last-logout` stands in backticks or on a line of its own, so that its end is visible', () => {
    /** Removes the indented lines that consist of a command, possibly after environment variables. */
    const withoutCommandLines = (text: string) =>
      text.replace(/^ {2}([A-Z\d_]+=\S+ )*last-logout .*$/gm, '')
    const textsWithUnquotedCommand = texts.filter(([, text]) => {
      const unmarkedText = withoutCommandLines(text).replaceAll(MARK, '')
      return markCommands(unmarkedText).replaceAll(`\`${MARK}`, '').includes(MARK)
    })
    expect(textsWithUnquotedCommand).toEqual([])
  })

  test('no text contains a command with another name, such as `node dist/main.js`, which is right only for some starts', () => {
    const textsWithFixedName = texts.filter(([, text]) =>
      /npx last-logout|dist\/main\.js|npm (run|start)\b/.test(text),
    )
    expect(textsWithFixedName).toEqual([])
  })
})

/** Reads all strings of the source files of the service. In a template string, `…` replaces each expression. */
async function readTexts(): Promise<[file: string, text: string][]> {
  const files = (await readdir('src', { recursive: true }))
    .map((file) => join('src', file))
    .filter((file) => file.endsWith('.ts') && !/\/generated\//.test(file))
    .filter((file) => !EXCLUDED_FILES.test(file) && file !== 'src/program-name.ts')
  const texts: [string, string][] = []
  for (const file of files) {
    new Visitor({
      Literal({ value }) {
        if (typeof value === 'string') texts.push([file, value])
      },
      TemplateLiteral({ quasis }) {
        texts.push([file, quasis.map(({ value }) => value.cooked ?? value.raw).join('…')])
      },
    }).visit(parseSync(file, await readFile(file, 'utf8')).program)
  }
  return texts
}
