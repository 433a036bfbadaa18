import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { ALERT_CASES, type AlertCase } from './alert-cases.js'

// Runs the test cases of `alert-cases.ts` with `promtool`, which evaluates alerts as Prometheus does.

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

/** Returns a test case in the format of `promtool test rules`. */
function toPromtoolTest({ alert, series, fires }: AlertCase) {
  const severity = rules.find((rule) => rule.alert === alert)?.labels.severity
  const commonLabels = `alertname="${alert}",alertstate="firing",severity="${severity}"`
  /** Returns the sample of the series `ALERTS` that Prometheus writes for a firing alert with these labels. */
  const toSample = (labels: string) => {
    const allLabels = labels === '' ? commonLabels : `${labels},${commonLabels}`
    return { labels: `ALERTS{${allLabels}}`, value: 1 }
  }
  return {
    name: alert,
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: Object.entries(fires).map(([time, labelsOfAlerts]) => ({
      expr: `ALERTS{alertname="${alert}",alertstate="firing"}`,
      eval_time: time,
      exp_samples: labelsOfAlerts.map(toSample),
    })),
  }
}

/** Runs test cases with `promtool`. Returns its output. Throws if a case fails. */
async function runCases(cases: AlertCase[], fileName: string): Promise<string> {
  const path = join(directory, fileName)
  const tests = cases.map(toPromtoolTest)
  await writeFile(
    path,
    stringify({ rule_files: [resolve(RULES_FILE)], evaluation_interval: '1m', tests }),
  )
  const { stdout } = await execFileAsync('promtool', ['test', 'rules', path])
  return stdout
}

test('promtool accepts docs/alerts.yml, and finds all of its alerts', async () => {
  const { stdout } = await execFileAsync('promtool', ['check', 'rules', RULES_FILE])
  expect(stdout).toContain(`SUCCESS: ${rules.length} rules found`)
})

describe('every alert', () => {
  test('every alert has test cases in which it fires, but not at the first checked time, and every test case has an alert', () => {
    for (const { alert } of rules) {
      const alertCases = ALERT_CASES.filter((alertCase) => alertCase.alert === alert)
      const labelsOverTime = alertCases.flatMap(({ fires }) => Object.values(fires))
      const firesOnce = labelsOverTime.some((labels) => labels.length > 0)
      expect(firesOnce, alert).toBe(true)
      expect(labelsOverTime[0], alert).toEqual([])
    }
    const knownAlerts = new Set(rules.map(({ alert }) => alert))
    expect(ALERT_CASES.filter(({ alert }) => !knownAlerts.has(alert))).toEqual([])
  })

  test('every alert fires at exactly those checked times at which its test cases expect it', async () => {
    expect(await runCases(ALERT_CASES, 'cases.yml')).toContain('SUCCESS')
  })

  // Shows that `promtool` compares the labels, and does not skip test cases.
  test('a test case fails if it expects a label that the alert does not have', async () => {
    const wrongCases = ALERT_CASES.map((alertCase) => {
      const checks = Object.entries(alertCase.fires)
      const [time = '', labels = []] = checks.find(([, expected]) => expected.length > 0) ?? []
      return { ...alertCase, fires: { [time]: labels.map((text) => `${text},x="y"`) } }
    })
    for (const [index, wrongCase] of wrongCases.entries()) {
      await expect(runCases([wrongCase], `wrong-${index}.yml`)).rejects.toMatchObject({
        stderr: expect.stringContaining(wrongCase.alert),
      })
    }
  })
})
