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

/*
 * Prometheus scrapes an API and a worker, with the configuration from docs/metrics.md. These tests check that it
 * accepts the metrics, the alerts and the queries of the dashboard.
 */

const execFileAsync = promisify(execFile)

/** Options of `expect.poll` and `vi.waitFor`, in milliseconds. Prometheus needs several scrapes for a rate. */
const WAIT = { timeout: 30_000, interval: 200 }
const DAY_MS = 86_400_000

/**
 * Matches complaints about metrics of the package prom-client, whose names break the conventions of Prometheus. The
 * names stay, because users of Node.js know them.
 */
const COMPLAINTS_ABOUT_PROM_CLIENT =
  /^nodejs_active_(handles|requests|resources)_total non-counter /

let directory: string
let database: TestDatabase
let testTenant: TestTenant
/** The processes of the API and of the worker. */
let processes: RunningCommand[]
/** The hosts and ports of the API and of the worker, in this order. */
let targets: [api: string, worker: string]
let prometheus: ChildProcess
let prometheusUrl: string

beforeAll(async () => {
  ;[directory, database, testTenant] = await Promise.all([
    mkdtemp(join(tmpdir(), 'last-logout-prometheus-')),
    createTestDatabase(),
    openTenant(),
  ])
  const [apiPort, workerPort, prometheusPort] = await Promise.all([
    findUnusedPort(),
    findUnusedPort(),
    findUnusedPort(),
  ])
  const env = {
    ...tenantEnv(testTenant.simulator),
    DATABASE_URL: database.url,
    API_KEYS: `caller:${KEY},prometheus:${METRICS_KEY}:metrics`,
    POLL_INTERVAL: '500ms',
    PORT: apiPort,
    WORKER_PORT: workerPort,
  }
  processes = ['api', 'worker'].map((name) => runCommand([name], env))
  targets = [`127.0.0.1:${apiPort}`, `127.0.0.1:${workerPort}`]
  prometheusUrl = `http://127.0.0.1:${prometheusPort}`
  const prometheusArgs = [
    `--config.file=${await writeConfig()}`,
    `--storage.tsdb.path=${directory}/data`,
    `--web.listen-address=127.0.0.1:${prometheusPort}`,
  ]
  prometheus = spawn('prometheus', prometheusArgs, { stdio: 'ignore' })
  await vi.waitFor(async () => expect(await readTargets()).toHaveLength(2), WAIT)
  await causeTraffic()
}, 90_000)
afterAll(async () => {
  prometheus.kill('SIGKILL')
  for (const command of processes) command.kill('SIGTERM')
  await Promise.all([once(prometheus, 'exit'), ...processes.map(({ exited }) => exited)])
  await testTenant.close()
  await database.drop()
  await rm(directory, { recursive: true })
})

/**
 * Writes the configuration from docs/metrics.md with the alerts of docs/alerts.yml, and with intervals that are short
 * enough for a test.
 *
 * @returns The path of the file.
 */
async function writeConfig(): Promise<string> {
  const { scrape_configs } = parse(await readExample('docs/metrics.md', 'Scrape', 'yaml'))
  const [scrape] = scrape_configs
  const keyFile = join(directory, 'key')
  await writeFile(keyFile, METRICS_KEY)
  expect(scrape.authorization.credentials_file).toMatch(/^\/etc\/prometheus\//)
  scrape.authorization.credentials_file = keyFile
  scrape.static_configs = [{ targets }]
  const path = join(directory, 'prometheus.yml')
  const global = { scrape_interval: '1s', evaluation_interval: '1s' }
  const rule_files = [resolve('docs/alerts.yml')]
  await writeFile(path, stringify({ global, rule_files, scrape_configs }))
  return path
}

/** Stores a gap, writes a logout and requests the API, so that each metric of the dashboard has a sample. */
async function causeTraffic(): Promise<void> {
  const store = await openTestStore(database)
  try {
    // Waits until the worker has read the log once.
    await vi.waitFor(async () => expect((await store.readProgress()).asOf).not.toBe(null), WAIT)
    // A gap is a span of the log that Auth0 deleted before it was read.
    const gap = { from: Date.now() - 3 * DAY_MS, to: Date.now() - 2 * DAY_MS }
    const raisesFloor = false
    await store.storeGap({ ...gap, reason: 'retention' }, raisesFloor)
  } finally {
    await store.close()
  }
  testTenant.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 's' }))
  await fetch(`http://${targets[0]}/v1/last-logout?user_id=auth0%7C1`, {
    headers: { authorization: `Bearer ${KEY}` },
  })
}

/** Sends a request to the HTTP API of Prometheus. Returns the data of the response. */
async function requestPrometheus<Data>(
  path: string,
  parameters: Record<string, string> = {},
): Promise<Data> {
  const url = new URL(`/api/v1/${path}`, prometheusUrl)
  url.search = new URLSearchParams(parameters).toString()
  const body = (await (await fetch(url)).json()) as { data: Data; error?: string }
  if (body.error !== undefined) throw new Error(`${path}: ${body.error}`)
  return body.data
}

/** A process that Prometheus scrapes. */
interface Target {
  health: string
  lastError: string
  scrapeUrl: string
}
const readTargets = async () =>
  (await requestPrometheus<{ activeTargets: Target[] }>('targets')).activeTargets

/** Runs a query. Returns the names of the labels of its first result, or `null` if it has no results. */
async function readLabels(query: string): Promise<string[] | null> {
  const { result } = await requestPrometheus<{ result: { metric: object }[] }>('query', { query })
  return result[0] === undefined ? null : Object.keys(result[0].metric)
}

describe('Prometheus', () => {
  test('Prometheus accepts the configuration of docs/metrics.md, and the alerts', async () => {
    const { stdout } = await execFileAsync('promtool', [
      'check',
      'config',
      join(directory, 'prometheus.yml'),
    ])
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
      (await requestPrometheus<Rules>('rules')).groups.flatMap(({ rules }) => rules)
    await expect
      .poll(async () => (await readRules()).every(({ health }) => health === 'ok'), WAIT)
      .toBe(true)
    const failedRules = (await readRules()).filter(({ lastError }) => lastError)
    expect(failedRules).toEqual([])
  })

  test('every query of the dashboard has results in Prometheus, with the labels of its legend', async () => {
    const queries = await listQueries()
    // A mistake in the parsing of the dashboard would leave fewer queries.
    expect(queries.length).toBeGreaterThan(30)
    for (const { panel, expr, legend } of queries) {
      // Grafana replaces these variables in the same way.
      const query = expr.replaceAll('$job', '.*').replaceAll('$__rate_interval', '5s')
      // In the legend, `{{name}}` stands for the label `name`.
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
] as const)(
  'promtool complains only about metrics of prom-client in the metrics of the %s',
  async (_name, index) => {
    const response = await fetch(`http://${targets[index]}/metrics`, {
      headers: { authorization: `Bearer ${METRICS_KEY}` },
    })
    const complaints = await lintMetrics(await response.text())
    expect(complaints.filter((line) => !COMPLAINTS_ABOUT_PROM_CLIENT.test(line))).toEqual([])
    // The complaints about prom-client show that the linter has run.
    expect(complaints.length).toBeGreaterThan(0)
  },
)

/** Runs the linter of Prometheus on the text of a scrape. Returns its complaints. */
async function lintMetrics(text: string): Promise<string[]> {
  const child = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  child.stdin.end(text)
  await once(child, 'close')
  return output.split('\n').filter((line) => line !== '')
}
