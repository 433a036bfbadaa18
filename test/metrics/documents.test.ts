import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import type { Family } from '../_support/exposition.js'
import { SCRAPER } from '../_support/served-api.js'
import { ALERT_CASES } from '../environments/alert-cases.js'
import { listQueries } from '../environments/dashboard.js'
import { CALLER, openRunning, type Running, readValue, scrape } from './running.js'

interface Rule {
  alert: string
  expr: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

const POLLING = { timeout: 20_000, interval: 100 }
const USER = 'auth0|identifiable-user'
const SESSION = 'identifiable-session'
const DAY_MS = 86_400_000

const { groups } = parse(await readFile('docs/alerts.yml', 'utf8')) as {
  groups: { rules: Rule[] }[]
}
const rules = groups.flatMap((group) => group.rules)
const document = await readFile('docs/metrics.md', 'utf8')

let running: Running
let text: string
let families: Map<string, Family>
beforeAll(async () => {
  running = await openRunning()
  const url = await running.service.startApi()
  await causeTraffic(running, url)
  ;({ text, families } = await scrape(url))
})
afterAll(() => running.close())

/** Causes at least one sample of every metric. */
async function causeTraffic({ t, service }: Running, url: string): Promise<void> {
  const { store } = service
  const { simulator, tenant } = t
  const refused = { path: '/oauth/token', times: 1, respond: faults.respondWith(401, {}) }
  simulator.faults.push(refused)
  await service.startWorker()
  const isFresh = async () => expect((await store.readProgress()).asOf).not.toBe(null)
  await vi.waitFor(isFresh, POLLING)
  tenant.write(buildEntry('slo', { userId: USER, sessionId: SESSION }))
  await vi.waitFor(async () => {
    expect((await store.readKnown(USER, SESSION)).session?.ended).toBe(true)
  }, POLLING)
  const gap = { from: Date.now() - 3 * DAY_MS, to: Date.now() - 2 * DAY_MS }
  await store.storeGap({ ...gap, reason: 'retention' }, false)
  await store.storeGap({ from: gap.from - DAY_MS, to: gap.from, reason: 'cold_start' }, false)
  await store.finishReconcile(Date.now())
  const get = (path: string, key: string) =>
    fetch(url + path, { headers: { authorization: `Bearer ${key}` } })
  await get(`/v1/users/${encodeURIComponent(USER)}/last-logout?session_id=${SESSION}`, CALLER)
  await get('/v1/changes', 'an-unknown-key-of-more-than-32-characters')
  await get('/v1/changes', SCRAPER)
}

/** The label names of a metric's samples, without the bounds of a histogram's buckets. */
const labelsOf = ({ samples }: Family) =>
  [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))]
    .filter((label) => label !== 'le')
    .sort()

const ours = () => [...families.values()].filter(({ name }) => name.startsWith('last_logout_'))

describe('the metrics of a running service', () => {
  test('contain no user, session, key, secret or token', () => {
    const { credentials } = running.t.simulator
    const secrets = [USER, SESSION, CALLER, SCRAPER, credentials.clientId, credentials.clientSecret]
    for (const secret of [...secrets, encodeURIComponent(USER), 'identifiable', 'eyJ', 'Bearer']) {
      expect(text).not.toContain(secret)
    }
  })

  test('include those of the process, and no others', () => {
    const others = [...families.keys()].filter((name) => !name.startsWith('last_logout_'))
    expect(others).toContain('process_cpu_seconds_total')
    expect(others).toContain('nodejs_eventloop_lag_p99_seconds')
    expect(others.filter((name) => !/^(process|nodejs)_/.test(name))).toEqual([])
  })

  test('are named with base units, and counters with _total', () => {
    for (const { name, type } of ours()) {
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
      expect(name).not.toMatch(/_(ms|milliseconds|minutes|percent)(_|$)/)
      if (type === 'histogram') expect(name).toMatch(/_seconds$/)
    }
  })

  test('are those that docs/metrics.md lists, and each has a value', () => {
    const rows = [...document.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/gm)].map(
      ([, name = '', type = '', labels = '']) => ({
        name,
        type,
        labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort(),
      }),
    )
    const exposed = ours().map((family) => ({
      name: family.name,
      type: family.type,
      labels: labelsOf(family),
    }))
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
    expect(rows.sort(byName)).toEqual(exposed.sort(byName))
    expect(ours().filter(({ samples }) => samples.length === 0)).toEqual([])
  })
})

describe('every alert', () => {
  test('fires for series that a service exposes', () => {
    const series = ALERT_CASES.flatMap((one) => Object.keys(one.series))
    const problems = series.flatMap((text) => {
      const [, name = '', list = ''] = /^(\w+)\{(.*)\}$/.exec(text) ?? []
      // Prometheus itself adds this metric, and these two labels.
      if (name === 'up') return []
      const labels = [...list.matchAll(/(\w+)="([^"]*)"/g)].filter(
        ([, label = '']) => !['job', 'instance'].includes(label),
      )
      const family = families.get(name) ?? families.get(name.replace(/_(bucket|count)$/, ''))
      const samples = family?.samples.filter((sample) => sample.name === name) ?? []
      if (samples.length === 0) return [`${text}: no such metric`]
      return labels.flatMap(([, label = '', value = '']) => {
        const values = samples.map(({ labels }) => labels[label])
        if (values.every((value) => value === undefined)) return [`${text}: no label ${label}`]
        const isOpen = ['code', 'status', 'route'].includes(label)
        return isOpen || values.includes(value) ? [] : [`${text}: no such ${label}`]
      })
    })
    expect(problems).toEqual([])
  })

  test('aggregates by job, so that it distinguishes tenants', () => {
    for (const { alert, expr } of rules) {
      const operators = [
        ...expr.matchAll(/\b(sum|min|max|avg|count|on|ignoring)\b(?: by)? *(\([^)]*\))/g),
      ]
      for (const [text, , grouping = ''] of operators) {
        expect(grouping, `${alert}: ${text}`).toMatch(/[( ]job[,)]/)
      }
      // An absent metric shows an outage only if there is one tenant.
      expect(expr.replace('absent(up{job=~"last-logout.*"})', ''), alert).not.toContain('absent')
      if (!/\bby\b/.test(expr)) expect(expr, alert).toMatch(/^\w+({[^}]*})? == 0$/)
    }
  })

  test('has a severity, a summary, a description and a runbook, with labels that its expression keeps', () => {
    for (const { alert, labels, annotations } of rules) {
      expect(labels.severity, alert).toMatch(/^(critical|warning|info)$/)
      expect(annotations.summary, alert).toMatch(/^\S.{10,}/)
      expect(annotations.description, alert).toMatch(/^\S.{60,}/)
      const used = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)]
      const fired = ALERT_CASES.filter((one) => one.alert === alert)
        .flatMap((one) => Object.values(one.fires))
        .flat()
      for (const [, label = ''] of used) expect(fired.join(), alert).toContain(`${label}="`)
      expect(annotations.runbook_url).toBe(`docs/operations.md#${alert.toLowerCase()}`)
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  })

  test('names error codes that exist', async () => {
    const codes = rules.flatMap(({ expr }) =>
      [...expr.matchAll(/code=~"([^"]+)"/g)].flatMap(([, list = '']) => list.split('|')),
    )
    const source = await readFile('src/errors.ts', 'utf8')
    expect(codes).toEqual(['STALLED', 'ABANDONED', 'AUTH0_CREDENTIALS', 'AUTH0_SCOPE'])
    for (const code of codes) expect(source).toContain(`'${code}'`)
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

  test('shows every metric of the service, and no other', () => {
    const used = queries.flatMap(({ expr }) =>
      [...expr.matchAll(/last_logout_\w+/g)].map(([name]) => name.replace(/_(bucket|count)$/, '')),
    )
    expect([...new Set(used)].sort()).toEqual(
      ours()
        .map(({ name }) => name)
        .sort(),
    )
  })

  test('shows the tenants that are selected, and distinguishes them', () => {
    for (const { panel, expr, legend } of queries) {
      const selectors = [...expr.matchAll(/\b(?:last_logout|process|nodejs)_\w+(\{[^}]*\})?/g)]
      for (const [, matchers = ''] of selectors) expect(matchers, panel).toContain('job=~"$job"')
      expect(legend, panel).toMatch(/^\{\{(job|instance)\}\}/)
    }
  })
})

test('docs/operations.md has a runbook entry for every alert, and for no other', async () => {
  const page = await readFile('docs/operations.md', 'utf8')
  const [, runbook = ''] = /^## Runbook\n([\s\S]*)/m.exec(page) ?? []
  const entries = [...runbook.matchAll(/^### (\w+)$/gm)].map(([, alert]) => alert)
  expect(entries).toEqual(rules.map(({ alert }) => alert))
})
