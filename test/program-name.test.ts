import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { parseSync, Visitor } from 'oxc-parser'
import { describe, expect, test } from 'vitest'
import { LastLogoutError } from '../src/errors.js'
import { createLog } from '../src/log.js'
import { nameProgram, type ProgramStart, readProgramName } from '../src/program-name.js'

const PLAIN: ProgramStart = { script: '/srv/app/dist/main.js', cwd: '/srv/app', env: {} }
const npmEnv = (command: string, event: string, line: string) => ({
  npm_command: command,
  npm_lifecycle_event: event,
  npm_lifecycle_script: line,
})
const container = (startedBy: 'run' | 'exec' | 'shell') => ({
  engine: 'docker' as const,
  id: '0123456789ab',
  startedBy,
})

describe('the name of the program', () => {
  test.each<[string, Partial<ProgramStart>, string]>([
    ['node dist/main.js', {}, 'node dist/main.js'],
    ['node /srv/app/dist/main.js elsewhere', { cwd: '/' }, 'node srv/app/dist/main.js'],
    ['node ../app/dist/main.js', { cwd: '/srv/other' }, 'node /srv/app/dist/main.js'],
    [
      'a path that a shell would split',
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
      'a dependency of another package, in its script',
      {
        script: '/srv/app/node_modules/.bin/last-logout',
        env: npmEnv('run', 'start', 'last-logout start'),
      },
      'node_modules/.bin/last-logout',
    ],
    [
      'node_modules/.bin/last-logout of another directory',
      { script: '/srv/other/node_modules/.bin/last-logout' },
      '/srv/other/node_modules/.bin/last-logout',
    ],
    [
      'npm run demo, which can start no other command',
      { env: npmEnv('run', 'demo', 'npm run --silent build && node dist/main.js demo') },
      'node dist/main.js',
    ],
    [
      'npm run with a script that takes the command',
      { env: npmEnv('run', 'logout-service', 'node dist/main.js') },
      'npm run logout-service --',
    ],
    [
      'another program that npx has started',
      { env: npmEnv('exec', 'npx', "'pm2'") },
      'node dist/main.js',
    ],
    [
      'a global installation',
      { script: '/usr/local/bin/last-logout', env: { PATH: '/usr/bin:/usr/local/bin' } },
      'last-logout',
    ],
    [
      'a link outside of PATH',
      { script: '/opt/last-logout', env: { PATH: '/usr/bin' } },
      'node /opt/last-logout',
    ],
    ['docker exec', { container: container('exec') }, 'docker exec 0123456789ab node dist/main.js'],
    ['a shell in a container', { container: container('shell') }, 'node dist/main.js'],
    // The container stops with its main process, so no command can run in it afterwards.
    [
      'the main process of a container, at its end',
      { container: container('run') },
      'node dist/main.js',
    ],
  ])(
    'readProgramName returns a command that starts the program again, after: %s',
    (_start, overrides, name) => {
      expect(readProgramName({ ...PLAIN, ...overrides }, false)).toBe(name)
    },
  )

  test("in the log of a container's main process, the name starts a command in that container", () => {
    const start = { ...PLAIN, container: container('run') }
    expect(readProgramName(start, true)).toBe('docker exec 0123456789ab node dist/main.js')
  })
})

test.each([
  ['run `last-logout migrate`', 'run `node $&.js migrate`'],
  ['see last-logout --help', 'see node $&.js --help'],
  ['last-logout: it failed', 'last-logout: it failed'],
  ['last-logout is running', 'last-logout is running'],
  ['/opt/last-logout start', '/opt/last-logout start'],
  ['the user last-logout starts', 'the user last-logout starts'],
])('nameProgram replaces the name in "%s" only if it is a command', (text, expected) => {
  expect(nameProgram(text, 'node $&.js')).toBe(expected)
})

test('a log line contains the name of the program in the advice, the error and its causes', async () => {
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

/** Files whose texts operators do not read, or that run on another machine. */
const EXCLUDED_FILES = /^src\/(action|client|simulator)\//

describe('in the sources of the service', async () => {
  const texts = await readTexts()

  test('every command of this program is written in a form in which nameProgram replaces the name', () => {
    const commands = texts.filter(([, text]) => /last-logout [a-z-]/.test(nameProgram(text, '%')))
    // All other texts that contain `last-logout` are sentences about it.
    expect(
      commands.filter(([, text]) => /`[^`]*last-logout [a-z-]/.test(nameProgram(text, '%'))),
    ).toEqual([])
    expect(texts.filter(([, text]) => nameProgram(text, '%') !== text).length).toBeGreaterThan(15)
  })

  test('every command of this program stands in backticks or on a line of its own, so that its end is visible', () => {
    const withoutLines = (text: string) =>
      text.replace(/^ {2}([A-Z\d_]+=\S+ )*last-logout .*$/gm, '')
    const unquoted = texts.filter(([, text]) =>
      /(?<!`)%/.test(nameProgram(withoutLines(text).replaceAll('%', ''), '%')),
    )
    expect(unquoted).toEqual([])
  })

  test('no text contains a fixed command that starts the program', () => {
    const textsWithStart = texts.filter(([, text]) =>
      /npx last-logout|dist\/main\.js|npm (run|start)\b/.test(text),
    )
    expect(textsWithStart).toEqual([])
  })
})

/** Reads the strings of all source files, without comments. In a template, `…` replaces each expression. */
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
