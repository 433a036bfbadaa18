import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { ALERT_CASES, type AlertCase } from './alert-cases.js'

const execFileAsync = promisify(execFile)
const RULES_FILE = 'docs/alerts.yml'

interface Rule {
  alert: string
  labels: { severity: string }
}

const { groups } = parse(await readFile(RULES_FILE, 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'last-logout-alerts-'))
})
afterAll(() => rm(directory, { recursive: true }))

/** Converts a test case to the format of `promtool test rules`. */
function toPromtool({ alert, series, fires }: AlertCase) {
  const severity = rules.find((rule) => rule.alert === alert)?.labels.severity
  /** Returns the series `ALERTS`, which Prometheus writes for an alert that fires. */
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

/** Runs test cases with the evaluation of Prometheus. Returns the output. Throws if a case fails. */
async function runCases(cases: AlertCase[], fileName: string): Promise<string> {
  const path = join(directory, fileName)
  const tests = cases.map(toPromtool)
  await writeFile(
    path,
    stringify({ rule_files: [resolve(RULES_FILE)], evaluation_interval: '1m', tests }),
  )
  const { stdout } = await execFileAsync('promtool', ['test', 'rules', path])
  return stdout
}

test('docs/alerts.yml is valid', async () => {
  const { stdout } = await execFileAsync('promtool', ['check', 'rules', RULES_FILE])
  expect(stdout).toContain(`SUCCESS: ${rules.length} rules found`)
})

describe('every alert', () => {
  test('every alert has a test case in which the alert fires, but not at first', () => {
    for (const { alert } of rules) {
      const labelsOverTime = ALERT_CASES.filter((alertCase) => alertCase.alert === alert).flatMap(
        (alertCase) => Object.values(alertCase.fires),
      )
      expect(
        labelsOverTime.some((labels) => labels.length > 0),
        alert,
      ).toBe(true)
      expect(labelsOverTime[0], alert).toEqual([])
    }
    const knownAlerts = new Set(rules.map(({ alert }) => alert))
    expect(ALERT_CASES.filter(({ alert }) => !knownAlerts.has(alert))).toEqual([])
  })

  test('every alert fires exactly at the times that its test cases expect', async () => {
    expect(await runCases(ALERT_CASES, 'cases.yml')).toContain('SUCCESS')
  })

  test('a test case fails if it expects a label that the alert does not have', async () => {
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
