import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { parseSync, Visitor } from 'oxc-parser'
import { describe, expect, test } from 'vitest'
import { LastLogoutError } from '../src/errors.js'
import { createLog } from '../src/log.js'
import { nameProgram, type ProgramStart, readProgramName } from '../src/program-name.js'

const PLAIN: ProgramStart = { script: '/srv/app/dist/main.js', cwd: '/srv/app', env: {} }
const npm = (command: string, event: string, line: string) => ({
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
        env: npm('exec', 'npx', "'last-logout'"),
      },
      'npx last-logout',
    ],
    [
      'a dependency of another package, in its script',
      {
        script: '/srv/app/node_modules/.bin/last-logout',
        env: npm('run', 'start', 'last-logout start'),
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
      { env: npm('run', 'demo', 'npm run --silent build && node dist/main.js demo') },
      'node dist/main.js',
    ],
    [
      'npm run with a script that takes the command',
      { env: npm('run', 'logout-service', 'node dist/main.js') },
      'npm run logout-service --',
    ],
    [
      'another program that npx has started',
      { env: npm('exec', 'npx', "'pm2'") },
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
    // With the process, its container ends: nothing can be started in it.
    [
      'the main process of a container, at its end',
      { container: container('run') },
      'node dist/main.js',
    ],
  ])('after %s', (_start, over, name) => {
    expect(readProgramName({ ...PLAIN, ...over }, false)).toBe(name)
  })

  test('in the log of the main process of a container starts a command beside it', () => {
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
])('%s names the program only in a command', (text, named) => {
  expect(nameProgram(text, 'node $&.js')).toBe(named)
})

test('log lines name the program in the advice, the error and its causes', async () => {
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

/** Where no text reaches an operator, or the text is a file for another machine. */
const OTHER_PROGRAMS = /^src\/(action|client|simulator)\//

describe('in the sources of the service', async () => {
  const texts = await readTexts()

  test('a command of this program is written in a way that names the program when it is printed', () => {
    const commands = texts.filter(([, text]) => /last-logout [a-z-]/.test(nameProgram(text, '%')))
    // What is left are sentences about last-logout.
    expect(
      commands.filter(([, text]) => /`[^`]*last-logout [a-z-]/.test(nameProgram(text, '%'))),
    ).toEqual([])
    expect(texts.filter(([, text]) => nameProgram(text, '%') !== text).length).toBeGreaterThan(15)
  })

  test('a command of this program is quoted, so that its end is visible', () => {
    const unquoted = texts.filter(([, text]) =>
      /(?<!`)%/.test(nameProgram(text.replaceAll('%', ''), '%')),
    )
    expect(unquoted).toEqual([])
  })

  test('no text says by itself how the program is started', () => {
    const own = texts.filter(([, text]) =>
      /npx last-logout|dist\/main\.js|npm (run|start)\b/.test(text),
    )
    expect(own).toEqual([])
  })
})

/** Strings of the sources, comments excluded, with the name of their file. */
async function readTexts(): Promise<[file: string, text: string][]> {
  const files = (await readdir('src', { recursive: true }))
    .map((file) => join('src', file))
    .filter((file) => file.endsWith('.ts') && !/\/generated\//.test(file))
    .filter((file) => !OTHER_PROGRAMS.test(file) && file !== 'src/program-name.ts')
  const texts: [string, string][] = []
  for (const file of files) {
    new Visitor({
      Literal({ value }) {
        if (typeof value === 'string') texts.push([file, value])
      },
      TemplateElement({ value }) {
        texts.push([file, value.cooked ?? value.raw])
      },
    }).visit(parseSync(file, await readFile(file, 'utf8')).program)
  }
  return texts
}
