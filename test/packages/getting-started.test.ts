import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findBrowser, openBrowser } from '../_support/browser.js'
import { readExample } from '../_support/documents.js'
import { findUnusedPort } from '../_support/port.js'

const DOCUMENT = 'docs/getting-started.md'

const foundBrowser = findBrowser()
const skipNote = 'skip' in foundBrowser ? ` (${foundBrowser.skip})` : ''

const run = promisify(execFile)

const WAIT = { timeout: 20_000, interval: 20 }

/**
 * Maximum time from the logout until the token is refused, in milliseconds: until Auth0 stores the log entry and a poll
 * reads it, on a busy machine.
 */
const MAX_WINDOW_MS = 20_000

describe.skipIf(skipNote !== '')(`the steps of ${DOCUMENT}${skipNote}`, () => {
  /** Shells that still run at the end of the test. */
  const runningShells: ChildProcess[] = []
  let dir: string
  let env: Record<string, string | undefined>
  let browser: Browser
  let page: Page
  beforeAll(async () => {
    dir = await realpath(await mkdtemp(join(tmpdir(), 'last-logout-getting-started-')))
    env = {
      HOME: process.env.HOME,
      PATH: `${join(dir, 'global/bin')}:${process.env.PATH}`,
      npm_config_prefix: join(dir, 'global'),
      npm_config_ignore_scripts: 'true',
      npm_config_prefer_offline: 'true',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    }
    browser = await openBrowser('path' in foundBrowser ? foundBrowser.path : '')
    page = await browser.newPage()
  })
  afterAll(async () => {
    await browser.close()
    for (const shell of runningShells) {
      const exited = once(shell, 'exit')
      // A negative id means the process group: the shell and its programs.
      process.kill(-(shell.pid ?? 0), 'SIGINT')
      await exited
    }
    await rm(dir, { recursive: true })
  })

  /** Runs the commands of a step to their end. */
  async function runStep(heading: string, cwd: string): Promise<void> {
    const commands = await readCommands(heading)
    const startedAt = performance.now()
    await run('/bin/sh', ['-ec', commands], { cwd, env })
    printDuration(heading, startedAt)
  }

  /** Starts the commands of a step, and waits until they have printed `text`. Returns their output so far. */
  async function startStep(heading: string, cwd: string, text: string): Promise<string> {
    const commands = await readCommands(heading)
    const startedAt = performance.now()
    const shell = startShell(commands, cwd)
    let output = ''
    shell.stdout.on('data', (chunk) => {
      output += chunk
    })
    await expect.poll(() => output, { timeout: 60_000, interval: 20 }).toContain(text)
    printDuration(heading, startedAt)
    return output
  }

  /** Starts commands in a shell. The shell and its programs form a process group, as in a terminal. */
  function startShell(commands: string, cwd: string) {
    const shell = spawn('/bin/sh', ['-ec', commands], { cwd, env, detached: true })
    runningShells.push(shell)
    return shell
  }

  test('the steps lead from the installation to an API that refuses the token after a logout', async () => {
    await runStep('2 Install last-logout', process.cwd())
    const demoOutput = await startStep('3 Start the demo', dir, 'Press Ctrl-C to stop the demo.')
    const [pageUrl = ''] = /http:\S+/.exec(demoOutput) ?? []
    const [variables = ''] = /ISSUER_BASE_URL=.*/.exec(demoOutput) ?? []

    const api = join(dir, 'orders')
    await mkdir(api)
    await runStep('4 Create your API', api)
    await writeFile(join(api, 'orders.mjs'), await readExample(DOCUMENT, '4 Create your API', 'js'))
    const port = await findUnusedPort()
    const startCommands = (await readExample(DOCUMENT, '5 Start your API', 'sh'))
      .replace(/^export .*$/m, `export ${variables}`)
      .replace('PORT=4000', `PORT=${port}`)
    const startedAt = performance.now()
    startShell(startCommands, api)
    // The API responds to a request without a token.
    await expect.poll(() => call(port, ''), WAIT).toMatch(/^HTTP\/1.1 400/)
    printDuration('5 Start your API', startedAt)

    await page.goto(pageUrl)
    await Promise.all([page.waitForURL(/\/login\//), page.click('#login')])
    await page.click('text=demo-user-1')
    await expect.poll(() => page.textContent('#responses'), WAIT).toContain('login: a new token')
    const token = (await page.textContent('#encoded-token')) ?? ''
    const calledAt = performance.now()
    const accepted = await call(port, token)
    printDuration('6 Call it with a token', calledAt)
    expect(accepted).toMatch(/^HTTP\/1.1 200 OK/)
    expect(accepted).toContain(await readResponseLine('6 Call it with a token', '{'))

    await page.click('#call')
    await page.click('#logout')
    const loggedOutAt = performance.now()
    await expect
      .poll(() => call(port, token), { timeout: MAX_WINDOW_MS, interval: 100 })
      .toMatch(/^HTTP\/1.1 401/)
    printDuration('7 Log out', loggedOutAt)
    const refused = await call(port, token)
    for (const start of ['WWW-Authenticate', '{']) {
      expect(refused).toContain(await readResponseLine('7 Log out', start))
    }
  }, 180_000)

  /** Sends the request of the document. Returns the response as curl prints it; empty if no server listens. */
  async function call(port: string, token: string): Promise<string> {
    const command = (await readExample(DOCUMENT, '6 Call it with a token', 'sh'))
      .replace('TOKEN=…', `TOKEN=${token}`)
      .replace(':4000', `:${port}`)
      .replace('curl -i', 'curl -s -i')
    // If curl fails, the error has its output.
    const { stdout } = await run('/bin/sh', ['-c', command], { env }).catch((error) => error)
    return String(stdout)
  }
})

/** Reads the commands of a step. The document assumes that the repository is in `~/last-logout`. */
async function readCommands(heading: string): Promise<string> {
  const commands = await readExample(DOCUMENT, heading, 'sh')
  return commands.replaceAll('~/last-logout', process.cwd())
}

/** Returns the line that starts with this text, in the response that the document shows. */
async function readResponseLine(heading: string, start: string): Promise<string> {
  const response = await readExample(DOCUMENT, heading, 'http')
  return response.split('\n').find((line) => line.startsWith(start)) ?? `no line ${start}`
}

/** Prints how long a step took. The document has a table of these times. */
function printDuration(heading: string, startedAt: number): void {
  process.stdout.write(`${heading}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`)
}
