import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { type Panel, renderChart, THEMES } from '../../bench/growth/charts.js'
import { listCosts } from '../../bench/growth/costs.js'
import { renderPerformance } from '../../bench/growth/performance-document.js'
import { renderScaling } from '../../bench/growth/scaling-document.js'
import type { BenchResults } from '../../bench/results.js'

/** Returns the result of one load of HTTP requests. */
const loadResult = (requestsPerSecond: number, p99Ms: number) => ({
  requestsPerSecond,
  p50Ms: p99Ms / 2,
  p99Ms,
  cpuShare: 0.5,
})

/** Returns the results with a database of `users` users. `readLatencyFactor` multiplies the latency of reads. */
const resultsWith = (users: number, readLatencyFactor: number): BenchResults['rows'][string] => ({
  users,
  reads: [loadResult(4_000, 20 * readLatencyFactor)],
  reports: [loadResult(500, 200)],
  logoutsPerSecond: [2_000, 2_500, 1_500],
  bytes: { last_logout: 200 * users, last_logout_pkey: 60 * users, session_logout: 300 * users },
  load: users > 1_000 ? null : { seconds: users / 500, bytes: 200 * users },
})

const results: BenchResults = {
  machine: { cpu: 'Example CPU', cores: 2, memoryGiB: 24, node: '20.1.0', postgres: '18.4' },
  days: { 'rows-1000': '2026-11-27', 'clients-1000': '2026-11-28' },
  figures: {
    'catch-up': [
      {
        name: 'catch-up',
        peer: 'a loop',
        ratios: [0.9],
        values: { latencyMs: 20, pagesPerSecond: 40 },
      },
    ],
  },
  rows: { 1000: resultsWith(1_000, 1), 100000: resultsWith(100_000, 3) },
  clients: { 1000: { users: 1_000, seconds: 0.1, bytes: 80_000 } },
  subscribers: {
    100: { subscribers: 100, p50Ms: 5, p99Ms: 10, changesPerSecond: [50_000], bytesPerChange: 200 },
  },
  backlogs: {},
}

/** Returns the cells of the first table row that begins with `rowName`, without the name of the row. */
const cellsOf = (markdown: string, rowName: string) =>
  markdown
    .split('\n')
    .find((line) => line.startsWith(`| ${rowName}`))
    ?.split('|')
    .map((cell) => cell.trim())
    .slice(2, -1)

describe('docs/performance.md', () => {
  const { markdown, charts } = renderPerformance(results)

  test('the document names the machine and the days of the measurements', () => {
    expect(markdown).toContain('from 2026-11-27 to 2026-11-28 on 2 cores (Example CPU)')
  })

  test('the document has a chart and a table for each kind of result, and omits a kind that has no results', () => {
    expect([...charts.keys()]).toEqual(['reads', 'writes', 'clients', 'subscribers'])
    expect(cellsOf(markdown, '1,000 ')).toEqual(['4,000', '10 ms', '20 ms'])
    // `results.backlogs` is empty.
    expect(markdown).not.toContain('backlog')
  })

  test('the document compares the cost at the largest size with the cost at the smallest size', () => {
    expect(listCosts(results)).toContainEqual({
      name: 'p99 of a read',
      from: '1,000 users',
      to: '100,000 users',
      factor: 3,
    })
    expect(cellsOf(markdown, 'p99 of a read')).toEqual(['1,000 users', '100,000 users', '3.0'])
  })
})

describe('docs/scaling.md', () => {
  test('the document shows how much of one process, or how many processes, each load needs', async () => {
    const markdown = renderScaling(await readFile('docs/scaling.md', 'utf8'), results)
    // The columns after the first are for 10, 1,000 and 100,000 logins per second, with 5 log entries per login. The
    // first column is 40 pages per second of 100 entries each.
    expect(cellsOf(markdown, 'entries read, with 20 ms')).toEqual([
      '4,000/s',
      '50 (1.3 %)',
      '5,000 (**× 1.3**)',
      '500,000 (**× 125**)',
    ])
    expect(cellsOf(markdown, 'logouts stored')?.[1]).toBe('10 (0.50 %)')
    expect(cellsOf(markdown, 'changes delivered')?.[1]).toBe('2,000 (4.0 %)')
    expect(cellsOf(markdown, 'session rows')?.[0]).toBe('51,840,000')
    expect(cellsOf(markdown, 'their tables')?.[0]).toBe('16 GB')
    // The measured rows take 40 bytes. The document counts on the maximum of 57 bytes.
    expect(cellsOf(markdown, 'memory of a client')?.[1]).toBe('158 GB')
  })

  test('the document cannot be rendered if the measured memory of a row is above the maximum', async () => {
    const clients = { 1000: { users: 1_000, seconds: 0.1, bytes: 120_000 } }
    const document = await readFile('docs/scaling.md', 'utf8')
    expect(() => renderScaling(document, { ...results, clients })).toThrow(/takes 60 bytes/)
  })

  test('the document cannot be rendered if the comments around its tables are missing', () => {
    expect(() => renderScaling('# Scaling\n', results)).toThrow(/add their comments/)
  })
})

test.each(['light', 'dark'] as const)(
  'a chart with the theme %s has every panel, and the name of every series',
  (theme) => {
    const panel = (title: string, names: string[]): Panel => ({
      title,
      xTitle: 'users',
      xScale: 'log',
      yScale: 'value',
      series: names.map((name, index) => ({
        name,
        // Each series has other values, so that the lines differ.
        points: [
          [10, index + 1],
          [100, 2 * index + 3],
        ],
      })),
    })
    const svg = renderChart(
      [panel('Reads', ['all']), panel('Latency', ['p50', 'p99'])],
      THEMES[theme],
    )
    for (const text of ['Reads', 'Latency', 'all', 'p50', 'p99', '>100<'])
      expect(svg).toContain(text)
    // The second panel has two series, so it uses the second color of the theme.
    expect(svg).toContain(THEMES[theme].series[1])
  },
)
