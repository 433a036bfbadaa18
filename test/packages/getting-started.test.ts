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
const found = findBrowser()
const skip = 'skip' in found ? ` (${found.skip})` : ''

const WAIT = { timeout: 20_000, interval: 20 }

/** Maximum time from the logout until the token is refused: the storage delay, a poll, and a busy machine. */
const MAX_WINDOW_MS = 20_000

describe.skipIf(skip !== '')(`the steps of ${DOCUMENT}${skip}`, () => {
  const children: ChildProcess[] = []
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
    browser = await openBrowser('path' in found ? found.path : '')
    page = await browser.newPage()
  })
  afterAll(async () => {
    await browser.close()
    for (const child of children) {
      const exited = once(child, 'exit')
      process.kill(-(child.pid ?? 0), 'SIGINT')
      await exited
    }
    await rm(dir, { recursive: true })
  })

  /** Runs the commands of a step to their end, or until they have printed a text. Returns what they have printed. */
  async function runStep(heading: string, cwd: string, until?: string): Promise<string> {
    const commands = await readExample(DOCUMENT, heading, 'sh')
    const line = commands.replaceAll('~/last-logout', process.cwd())
    const startedAt = performance.now()
    const output =
      until === undefined
        ? (await promisify(execFile)('/bin/sh', ['-ec', line], { cwd, env })).stdout
        : await startUntil(line, cwd, until)
    report(heading, startedAt)
    return output
  }

  async function startUntil(line: string, cwd: string, until: string): Promise<string> {
    // The shell and the program that it starts are one process group, as in a terminal.
    const child = spawn('/bin/sh', ['-ec', line], { cwd, env, detached: true })
    children.push(child)
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    await expect.poll(() => output, { timeout: 60_000, interval: 20 }).toContain(until)
    return output
  }

  test('the steps lead from the tarball to a refused token', async () => {
    await runStep('2 Install last-logout', process.cwd())
    const printed = await runStep('3 Start the demo', dir, 'Press Ctrl-C to stop the demo.')
    const [pageUrl = ''] = /http:\S+/.exec(printed) ?? []
    const [variables = ''] = /ISSUER_BASE_URL=.*/.exec(printed) ?? []

    const api = join(dir, 'orders')
    await mkdir(api)
    await runStep('4 Create your API', api)
    await writeFile(join(api, 'orders.mjs'), await readExample(DOCUMENT, '4 Create your API', 'js'))
    const port = await findUnusedPort()
    const start = (await readExample(DOCUMENT, '5 Start your API', 'sh'))
      .replace(/^export .*$/m, `export ${variables}`)
      .replace('PORT=4000', `PORT=${port}`)
    const startedAt = performance.now()
    children.push(spawn('/bin/sh', ['-ec', start], { cwd: api, env, detached: true }))
    // A request without a token.
    await expect.poll(() => call(port, ''), WAIT).toMatch(/^HTTP\/1.1 400/)
    report('5 Start your API', startedAt)

    await page.goto(pageUrl)
    await Promise.all([page.waitForURL(/\/login\//), page.click('#login')])
    await page.click('text=demo-user-1')
    await expect.poll(() => page.textContent('#responses'), WAIT).toContain('login: a new token')
    const token = (await page.textContent('#encoded-token')) ?? ''
    const calledAt = performance.now()
    const accepted = await call(port, token)
    report('6 Call it with a token', calledAt)
    expect(accepted).toMatch(/^HTTP\/1.1 200 OK/)
    expect(accepted).toContain(await readShown('6 Call it with a token', '{'))

    await page.click('#call')
    await page.click('#logout')
    const loggedOutAt = performance.now()
    await expect
      .poll(() => call(port, token), { timeout: MAX_WINDOW_MS, interval: 100 })
      .toMatch(/^HTTP\/1.1 401/)
    report('7 Log out', loggedOutAt)
    const refused = await call(port, token)
    for (const start of ['WWW-Authenticate', '{']) {
      expect(refused).toContain(await readShown('7 Log out', start))
    }
  }, 180_000)

  /** Sends the request of the document. Returns the response, as curl prints it. */
  async function call(port: string, token: string): Promise<string> {
    const line = (await readExample(DOCUMENT, '6 Call it with a token', 'sh'))
      .replace('TOKEN=…', `TOKEN=${token}`)
      .replace(':4000', `:${port}`)
      .replace('curl -i', 'curl -s -i')
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', line], { env }).catch(
      (error) => error,
    )
    return String(stdout)
  }
})

/** The line of a response in the document that starts with this text. */
async function readShown(heading: string, start: string): Promise<string> {
  const shown = await readExample(DOCUMENT, heading, 'http')
  return shown.split('\n').find((line) => line.startsWith(start)) ?? `no line ${start}`
}

/** Prints how long a step took, for the table of the document. */
function report(heading: string, startedAt: number): void {
  process.stdout.write(`${heading}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`)
}
