import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { parse, stringify } from 'yaml'
import { buildEntry } from '../../src/simulator/entries.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { findUnusedPort } from '../_support/port.js'
import { KEY, METRICS_KEY } from '../_support/served-api.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { listQueries } from './dashboard.js'

const run = promisify(execFile)

const WAIT = { timeout: 30_000, interval: 200 }
const DAY_MS = 86_400_000

/** Names of prom-client's metrics that break the naming conventions. They stay, because users of Node.js know them. */
const NAMES_OF_PROM_CLIENT = /^nodejs_active_(handles|requests|resources)_total non-counter /

let directory: string
let database: TestDatabase
let testTenant: TestTenant
let processes: RunningCommand[]
let targets: string[]
let prometheus: ChildProcess
let prometheusUrl: string

beforeAll(async () => {
  ;[directory, database, testTenant] = await Promise.all([
    mkdtemp(join(tmpdir(), 'last-logout-prometheus-')),
    createTestDatabase(),
    openTenant(),
  ])
  const [PORT, WORKER_PORT, port] = await Promise.all([
    findUnusedPort(),
    findUnusedPort(),
    findUnusedPort(),
  ])
  const env = {
    ...tenantEnv(testTenant.simulator),
    DATABASE_URL: database.url,
    API_KEYS: `caller:${KEY},prometheus:${METRICS_KEY}:metrics`,
    POLL_INTERVAL: '500ms',
    PORT,
    WORKER_PORT,
  }
  processes = ['api', 'worker'].map((part) => runCommand([part], env))
  targets = [PORT, WORKER_PORT].map((port) => `127.0.0.1:${port}`)
  prometheusUrl = `http://127.0.0.1:${port}`
  const config = await writeConfig()
  prometheus = spawn(
    'prometheus',
    [`--config.file=${config}`, `--storage.tsdb.path=${directory}/data`].concat(
      `--web.listen-address=127.0.0.1:${port}`,
    ),
    { stdio: 'ignore' },
  )
  await vi.waitFor(async () => expect(await readTargets()).toHaveLength(2), WAIT)
  await causeTraffic()
}, 90_000)
afterAll(async () => {
  prometheus.kill('SIGKILL')
  for (const { kill } of processes) kill('SIGTERM')
  await Promise.all([once(prometheus, 'exit'), ...processes.map(({ exited }) => exited)])
  await testTenant.close()
  await database.drop()
  await rm(directory, { recursive: true })
})

/**
 * Writes the configuration from docs/metrics.md with the alerts, and with intervals that are short enough for a test.
 */
async function writeConfig(): Promise<string> {
  const { scrape_configs } = parse(await readExample('docs/metrics.md', 'Scrape', 'yaml'))
  const [scrape] = scrape_configs
  const key = join(directory, 'key')
  await writeFile(key, METRICS_KEY)
  expect(scrape.authorization.credentials_file).toMatch(/^\/etc\/prometheus\//)
  scrape.authorization.credentials_file = key
  scrape.static_configs = [{ targets }]
  const path = join(directory, 'prometheus.yml')
  const global = { scrape_interval: '1s', evaluation_interval: '1s' }
  const rule_files = [resolve('docs/alerts.yml')]
  await writeFile(path, stringify({ global, rule_files, scrape_configs }))
  return path
}

/** Causes at least one sample of each metric of the dashboard. */
async function causeTraffic(): Promise<void> {
  const store = await openTestStore(database)
  try {
    await vi.waitFor(async () => expect((await store.readProgress()).asOf).not.toBe(null), WAIT)
    const gap = { from: Date.now() - 3 * DAY_MS, to: Date.now() - 2 * DAY_MS }
    await store.storeGap({ ...gap, reason: 'retention' }, false)
  } finally {
    await store.close()
  }
  testTenant.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 's' }))
  await fetch(`http://${targets[0]}/v1/last-logout?user_id=auth0%7C1`, {
    headers: { authorization: `Bearer ${KEY}` },
  })
}

/** Requests the HTTP API of Prometheus. */
async function request<Data>(path: string, parameters: Record<string, string> = {}): Promise<Data> {
  const url = new URL(`/api/v1/${path}`, prometheusUrl)
  url.search = new URLSearchParams(parameters).toString()
  const body = (await (await fetch(url)).json()) as { data: Data; error?: string }
  if (body.error !== undefined) throw new Error(`${path}: ${body.error}`)
  return body.data
}

interface Target {
  health: string
  lastError: string
  scrapeUrl: string
}
const readTargets = async () =>
  (await request<{ activeTargets: Target[] }>('targets')).activeTargets

/** Returns the label names of the first series of a query; `null`: the query finds no series. */
async function readLabels(query: string): Promise<string[] | null> {
  const { result } = await request<{ result: { metric: object }[] }>('query', { query })
  return result[0] === undefined ? null : Object.keys(result[0].metric)
}

describe('Prometheus', () => {
  test('Prometheus accepts the configuration of docs/metrics.md, and the alerts', async () => {
    const { stdout } = await run('promtool', ['check', 'config', join(directory, 'prometheus.yml')])
    expect(stdout).toMatch(/SUCCESS: .* valid prometheus config/)
  })

  test('Prometheus scrapes the API and the worker without an error', async () => {
    const healthy = { health: 'up', lastError: '' }
    await expect.poll(readTargets, WAIT).toMatchObject([healthy, healthy])
  })

  test('Prometheus evaluates every alert without an error', async () => {
    interface Rules {
      groups: { rules: { name: string; health: string; lastError?: string }[] }[]
    }
    const readRules = async () =>
      (await request<Rules>('rules')).groups.flatMap(({ rules }) => rules)
    await expect
      .poll(async () => (await readRules()).every(({ health }) => health === 'ok'), WAIT)
      .toBe(true)
    const failed = (await readRules()).filter(({ lastError }) => lastError)
    expect(failed).toEqual([])
  })

  test('Prometheus finds data for every query of the dashboard, with the labels of its legend', async () => {
    const queries = await listQueries()
    expect(queries.length).toBeGreaterThan(30)
    for (const { panel, expr, legend } of queries) {
      const query = expr.replaceAll('$job', '.*').replaceAll('$__rate_interval', '5s')
      const labels = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
      await expect
        .poll(() => readLabels(query), { ...WAIT, message: `${panel}: ${query}` })
        .toEqual(expect.arrayContaining(labels))
    }
  })
})

test.each([
  ['API', 0],
  ['worker', 1],
])('promtool reports no problem with the metrics of the %s', async (_part, index) => {
  const response = await fetch(`http://${targets[index]}/metrics`, {
    headers: { authorization: `Bearer ${METRICS_KEY}` },
  })
  const complaints = await checkMetrics(await response.text())
  expect(complaints.filter((line) => !NAMES_OF_PROM_CLIENT.test(line))).toEqual([])
  // A complaint shows that the linter has run.
  expect(complaints.length).toBeGreaterThan(0)
})

/** Runs the linter of Prometheus on a scrape. Returns its complaints. */
async function checkMetrics(text: string): Promise<string[]> {
  const child = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  child.stdin.end(text)
  await once(child, 'close')
  return output.split('\n').filter((line) => line !== '')
}
