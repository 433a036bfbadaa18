import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { ALERT_CASES, type AlertCase } from './alert-cases.js'

const run = promisify(execFile)
const RULES = 'docs/alerts.yml'

interface Rule {
  alert: string
  labels: { severity: string }
}

const { groups } = parse(await readFile(RULES, 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'last-logout-alerts-'))
})
afterAll(() => rm(directory, { recursive: true }))

/** Converts a test case to the format of `promtool test rules`. */
function toPromtool({ alert, series, fires }: AlertCase) {
  const severity = rules.find((rule) => rule.alert === alert)?.labels.severity
  const toSample = (labels: string) => ({
    labels: `ALERTS{${[labels, `alertname="${alert}",alertstate="firing",severity="${severity}"`]
      .filter(Boolean)
      .join(',')}}`,
    value: 1,
  })
  return {
    name: alert,
    interval: '1m',
    input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
    promql_expr_test: Object.entries(fires).map(([at, labels]) => ({
      expr: `ALERTS{alertname="${alert}",alertstate="firing"}`,
      eval_time: at,
      exp_samples: labels.map(toSample),
    })),
  }
}

/** Runs test cases with Prometheus' own evaluation of the rules. */
async function runCases(cases: AlertCase[], file: string): Promise<string> {
  const path = join(directory, file)
  const tests = cases.map(toPromtool)
  await writeFile(
    path,
    stringify({ rule_files: [resolve(RULES)], evaluation_interval: '1m', tests }),
  )
  const { stdout } = await run('promtool', ['test', 'rules', path])
  return stdout
}

test('docs/alerts.yml is valid', async () => {
  const { stdout } = await run('promtool', ['check', 'rules', RULES])
  expect(stdout).toContain(`SUCCESS: ${rules.length} rules found`)
})

describe('every alert', () => {
  test('every alert has a test case in which it fires, and does not fire at first', () => {
    for (const { alert } of rules) {
      const fires = ALERT_CASES.filter((alertCase) => alertCase.alert === alert).flatMap(
        (alertCase) => Object.values(alertCase.fires),
      )
      expect(
        fires.some((labels) => labels.length > 0),
        alert,
      ).toBe(true)
      expect(fires[0], alert).toEqual([])
    }
    const knownAlerts = new Set(rules.map(({ alert }) => alert))
    expect(ALERT_CASES.filter(({ alert }) => !knownAlerts.has(alert))).toEqual([])
  })

  test('every alert fires exactly at the times that its test cases expect', async () => {
    expect(await runCases(ALERT_CASES, 'cases.yml')).toContain('SUCCESS')
  })

  test('a test case fails if the alert does not fire as the case expects', async () => {
    const wrongCases = ALERT_CASES.map((alertCase) => {
      const [[time = '', labels = []] = []] = Object.entries(alertCase.fires).filter(
        ([, labels]) => labels.length > 0,
      )
      return { ...alertCase, fires: { [time]: labels.map((text) => `${text},x="y"`) } }
    })
    for (const [index, wrongCase] of wrongCases.entries()) {
      await expect(runCases([wrongCase], `wrong-${index}.yml`)).rejects.toMatchObject({
        stderr: expect.stringContaining(wrongCase.alert),
      })
    }
  })
})
