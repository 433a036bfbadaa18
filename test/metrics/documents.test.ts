import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import type { Family } from '../_support/exposition.js'
import { METRICS_KEY } from '../_support/served-api.js'
import { ALERT_CASES } from '../environments/alert-cases.js'
import { listQueries } from '../environments/dashboard.js'
import {
  CALLER_KEY,
  type MeasuredService,
  openMeasuredService,
  POLLING,
  readValue,
  scrape,
} from './running.js'

interface AlertRule {
  alert: string
  expr: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

const USER = 'auth0|identifiable-user'
const SESSION = 'identifiable-session'
const DAY_MS = 86_400_000

const { groups } = parse(await readFile('docs/alerts.yml', 'utf8')) as {
  groups: { rules: AlertRule[] }[]
}
const rules = groups.flatMap((group) => group.rules)
const document = await readFile('docs/metrics.md', 'utf8')

let measured: MeasuredService
let scrapedText: string
let families: Map<string, Family>
beforeAll(async () => {
  measured = await openMeasuredService()
  const url = await measured.service.startApi()
  await causeTraffic(measured, url)
  ;({ text: scrapedText, families } = await scrape(url))
})
afterAll(() => measured.close())

/** Causes events, failures and requests, so that every metric has at least one sample. */
async function causeTraffic({ testTenant, service }: MeasuredService, url: string): Promise<void> {
  const { store } = service
  const { simulator, tenant } = testTenant
  // The first poll fails, because Auth0 rejects its credentials once.
  const tokenFault = { path: '/oauth/token', times: 1, respond: faults.respondWith(401, {}) }
  simulator.faults.push(tokenFault)
  await service.startWorker()
  // `asOf` is the instant up to which the log has been read.
  const expectLogRead = async () => expect((await store.readProgress()).asOf).not.toBe(null)
  await vi.waitFor(expectLogRead, POLLING)
  tenant.write(buildEntry('slo', { userId: USER, sessionId: SESSION }))
  await vi.waitFor(async () => {
    expect((await store.readKnownLogouts(USER, SESSION)).session?.ended).toBe(true)
  }, POLLING)
  // A gap is a span of the log that Auth0 deleted before it was read.
  const gap = { from: Date.now() - 3 * DAY_MS, to: Date.now() - 2 * DAY_MS }
  await store.storeGap({ ...gap, reason: 'retention' }, false)
  await store.storeGap({ from: gap.from - DAY_MS, to: gap.from, reason: 'cold_start' }, false)
  await store.finishReconcile(Date.now())
  const get = (path: string, key: string) =>
    fetch(url + path, { headers: { authorization: `Bearer ${key}` } })
  await get(`/v1/users/${encodeURIComponent(USER)}/last-logout?session_id=${SESSION}`, CALLER_KEY)
  // Two failures of authentication: an unknown key, and a key without the role `feed`.
  await get('/v1/changes', 'an-unknown-key-of-more-than-32-characters')
  await get('/v1/changes', METRICS_KEY)
}

/** Returns the names of the labels of a metric. Omits `le`, the label of a histogram's buckets. */
const labelsOf = ({ samples }: Family) =>
  [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))]
    .filter((label) => label !== 'le')
    .sort()

/** Returns the metrics that the service itself defines. A family is a metric with all its samples. */
const serviceFamilies = () =>
  [...families.values()].filter(({ name }) => name.startsWith('last_logout_'))

describe('the metrics of a running service', () => {
  test('the metrics contain no user, session, key, secret or token', () => {
    const { credentials } = measured.testTenant.simulator
    const secrets = [
      USER,
      SESSION,
      CALLER_KEY,
      METRICS_KEY,
      credentials.clientId,
      credentials.clientSecret,
    ]
    for (const secret of [...secrets, encodeURIComponent(USER), 'identifiable', 'eyJ', 'Bearer']) {
      expect(scrapedText).not.toContain(secret)
    }
  })

  test('the metrics without the prefix last_logout_ describe the process and Node.js', () => {
    const otherNames = [...families.keys()].filter((name) => !name.startsWith('last_logout_'))
    expect(otherNames).toContain('process_cpu_seconds_total')
    expect(otherNames).toContain('nodejs_eventloop_lag_p99_seconds')
    expect(otherNames.filter((name) => !/^(process|nodejs)_/.test(name))).toEqual([])
  })

  test('metrics use base units, and only the names of counters end with _total', () => {
    for (const { name, type } of serviceFamilies()) {
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
      expect(name).not.toMatch(/_(ms|milliseconds|minutes|percent)(_|$)/)
      if (type === 'histogram') expect(name).toMatch(/_seconds$/)
    }
  })

  test('docs/metrics.md lists exactly the metrics of the service, and each metric has a sample', () => {
    // A row of the table starts with: | `name` | type | `label`, `label` |
    const documentedMetrics = [...document.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/gm)].map(
      ([, name = '', type = '', labels = '']) => ({
        name,
        type,
        labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort(),
      }),
    )
    const exposedMetrics = serviceFamilies().map((family) => ({
      name: family.name,
      type: family.type,
      labels: labelsOf(family),
    }))
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
    expect(documentedMetrics.sort(byName)).toEqual(exposedMetrics.sort(byName))
    expect(serviceFamilies().filter(({ samples }) => samples.length === 0)).toEqual([])
  })
})

describe('every alert', () => {
  // An alert case consists of time series, and of the times at which they cause the alert to fire.
  test('every alert case uses series that a service exposes', () => {
    const series = ALERT_CASES.flatMap((alertCase) => Object.keys(alertCase.series))
    const problems = series.flatMap((text) => {
      const [, name = '', labelList = ''] = /^(\w+)\{(.*)\}$/.exec(text) ?? []
      // Prometheus itself adds the metric `up`, and the labels `job` and `instance`.
      if (name === 'up') return []
      const labels = [...labelList.matchAll(/(\w+)="([^"]*)"/g)].filter(
        ([, label = '']) => !['job', 'instance'].includes(label),
      )
      const family = families.get(name) ?? families.get(name.replace(/_(bucket|count)$/, ''))
      const samples = family?.samples.filter((sample) => sample.name === name) ?? []
      if (samples.length === 0) return [`${text}: no such metric`]
      return labels.flatMap(([, label = '', value = '']) => {
        const values = samples.map(({ labels }) => labels[label])
        if (values.every((value) => value === undefined)) return [`${text}: no label ${label}`]
        // These labels have values that the traffic of this test does not cause.
        const allowsAnyValue = ['code', 'status', 'route'].includes(label)
        return allowsAnyValue || values.includes(value) ? [] : [`${text}: no such ${label}`]
      })
    })
    expect(problems).toEqual([])
  })

  test('every alert aggregates by job, so that it distinguishes tenants', () => {
    for (const { alert, expr } of rules) {
      const operators = [
        ...expr.matchAll(/\b(sum|min|max|avg|count|on|ignoring)\b(?: by)? *(\([^)]*\))/g),
      ]
      for (const [operator, , grouping = ''] of operators) {
        expect(grouping, `${alert}: ${operator}`).toMatch(/[( ]job[,)]/)
      }
      // `absent()` cannot detect the outage of one of several tenants. It is used only to detect that Prometheus scrapes no
      // tenant.
      expect(expr.replace('absent(up{job=~"last-logout.*"})', ''), alert).not.toContain('absent')
      // An expression without an aggregation compares one metric with 0, and so keeps the label `job`.
      if (!/\bby\b/.test(expr)) expect(expr, alert).toMatch(/^\w+({[^}]*})? == 0$/)
    }
  })

  test('every alert has a severity, a summary, a description and a runbook, and its texts use only labels that the fired alert has', () => {
    for (const { alert, labels, annotations } of rules) {
      expect(labels.severity, alert).toMatch(/^(critical|warning|info)$/)
      expect(annotations.summary, alert).toMatch(/^\S.{10,}/)
      expect(annotations.description, alert).toMatch(/^\S.{60,}/)
      const usedNames = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)]
      const firedLabels = ALERT_CASES.filter((alertCase) => alertCase.alert === alert)
        .flatMap((alertCase) => Object.values(alertCase.fires))
        .flat()
      for (const [, label = ''] of usedNames)
        expect(firedLabels.join(), alert).toContain(`${label}="`)
      expect(annotations.runbook_url).toBe(`docs/operations.md#${alert.toLowerCase()}`)
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  })

  test('every alert names error codes that exist', async () => {
    // Finds code=~"CODE|CODE" in the expressions.
    const codes = rules.flatMap(({ expr }) =>
      [...expr.matchAll(/code=~"([^"]+)"/g)].flatMap(([, codeList = '']) => codeList.split('|')),
    )
    const source = await readFile('src/errors.ts', 'utf8')
    expect(codes).toEqual(['STALLED', 'ABANDONED', 'AUTH0_CREDENTIALS', 'AUTH0_SCOPE'])
    for (const code of codes) expect(source).toContain(`'${code}'`)
    // `causeTraffic` caused this failure.
    expect(
      readValue(families, 'last_logout_job_failures_total', {
        task: 'poll',
        code: 'AUTH0_CREDENTIALS',
      }),
    ).toBe(1)
  })
})

describe('the dashboard', async () => {
  const queries = await listQueries()

  test('the dashboard shows all metrics of the service, and no unknown metric', () => {
    const usedNames = queries.flatMap(({ expr }) =>
      [...expr.matchAll(/last_logout_\w+/g)].map(([name]) => name.replace(/_(bucket|count)$/, '')),
    )
    expect([...new Set(usedNames)].sort()).toEqual(
      serviceFamilies()
        .map(({ name }) => name)
        .sort(),
    )
  })

  test('every query of the dashboard selects tenants by job, and every legend names the job or the instance', () => {
    for (const { panel, expr, legend } of queries) {
      const selectors = [...expr.matchAll(/\b(?:last_logout|process|nodejs)_\w+(\{[^}]*\})?/g)]
      for (const [, matchers = ''] of selectors) expect(matchers, panel).toContain('job=~"$job"')
      expect(legend, panel).toMatch(/^\{\{(job|instance)\}\}/)
    }
  })
})

test('docs/operations.md has a runbook entry for every alert, and no other entry', async () => {
  const page = await readFile('docs/operations.md', 'utf8')
  const [, runbook = ''] = /^## Runbook\n([\s\S]*)/m.exec(page) ?? []
  const entries = [...runbook.matchAll(/^### (\w+)$/gm)].map(([, alert]) => alert)
  expect(entries).toEqual(rules.map(({ alert }) => alert))
})
