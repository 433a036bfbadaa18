import { formatNumber, formatSpread } from '../figures.js'
import { median } from '../median.js'
import type { BenchResults } from '../results.js'
import type { Panel } from './charts.js'

/** A part of docs/performance.md about one kind of growth. */
export interface Section {
  /** Name of the chart. */
  name: string
  title: string
  text: string
  rows: string[][]
  panels: Panel[]
}

const MIB = 2 ** 20

/** Returns the sections for which there are results: their tables have more than the header row. */
export function listSections(results: BenchResults): Section[] {
  return [
    readsSection(results),
    writesSection(results),
    clientsSection(results),
    subscribersSection(results),
    backlogSection(results),
  ].filter(({ rows }) => rows.length > 1)
}

function readsSection({ rows }: BenchResults): Section {
  const measured = Object.values(rows).map(({ users, reads }) => ({
    users,
    rates: reads.map(({ requestsPerSecond }) => requestsPerSecond),
    p50Ms: median(reads.map((each) => each.p50Ms)),
    p99Ms: median(reads.map((each) => each.p99Ms)),
  }))
  return {
    name: 'reads',
    title: 'Reads',
    text: 'One API process. 64 connections read the last logouts of random users. Each sends its next request after the response.',
    rows: [
      ['users, and as many sessions', 'reads/s: median (min to max)', 'p50', 'p99'],
      ...measured.map(({ users, rates, p50Ms, p99Ms }) => [
        formatNumber(users),
        formatSpread(rates),
        `${formatNumber(p50Ms)} ms`,
        `${formatNumber(p99Ms)} ms`,
      ]),
    ],
    panels: [
      panelByUsers('Reads per second', 'value', [
        { name: 'reads', points: measured.map(({ users, rates }) => [users, median(rates)]) },
      ]),
      panelByUsers('Latency of a read, ms', 'value', [
        { name: 'p50', points: measured.map(({ users, p50Ms }) => [users, p50Ms]) },
        { name: 'p99', points: measured.map(({ users, p99Ms }) => [users, p99Ms]) },
      ]),
    ],
  }
}

function writesSection({ rows }: BenchResults): Section {
  const measured = Object.values(rows).map(({ users, logoutsPerSecond, reports, bytes }) => ({
    users,
    logoutsPerSecond,
    reportsPerSecond: reports.map(({ requestsPerSecond }) => requestsPerSecond),
    tableMiB: sumOf(bytes, isTable) / MIB,
    indexMiB: sumOf(bytes, (name) => !isTable(name)) / MIB,
  }))
  return {
    name: 'writes',
    title: 'Writes and sizes',
    text: 'One writer stores logouts of random users and their sessions in batches of 100, as a worker does for a page of the log that contains only logouts. 64 connections report logouts by `POST /v1/logouts`. Every write locks the row of the tenant, so writes run one after another. The sizes are those of freshly filled tables.',
    rows: [
      [
        'users, and as many sessions',
        'logouts stored/s',
        'reported logouts/s',
        'tables',
        'indexes',
        'bytes of a user and a session',
      ],
      ...measured.map(({ users, tableMiB, indexMiB, ...rates }) => [
        formatNumber(users),
        formatSpread(rates.logoutsPerSecond),
        formatSpread(rates.reportsPerSecond),
        `${formatNumber(tableMiB)} MiB`,
        `${formatNumber(indexMiB)} MiB`,
        formatNumber(((tableMiB + indexMiB) * MIB) / users),
      ]),
    ],
    panels: [
      panelByUsers('Logouts per second', 'value', [
        {
          name: 'in batches',
          points: measured.map((each) => [each.users, median(each.logoutsPerSecond)]),
        },
        {
          name: 'reported',
          points: measured.map((each) => [each.users, median(each.reportsPerSecond)]),
        },
      ]),
      panelByUsers('Size, MiB', 'log', [
        { name: 'tables', points: measured.map(({ users, tableMiB }) => [users, tableMiB]) },
        { name: 'indexes', points: measured.map(({ users, indexMiB }) => [users, indexMiB]) },
      ]),
    ],
  }
}

function clientsSection({ clients, rows }: BenchResults): Section {
  const measured = Object.values(clients)
  const fromApi = Object.values(rows).flatMap(({ users, load }) =>
    load ? [{ users, ...load }] : [],
  )
  return {
    name: 'clients',
    title: 'Clients',
    text: 'A client loads all logouts: from a server that sends prepared events, which measures the client alone, and from an API process with its database. The memory is that of the loaded logouts.',
    rows: [
      [
        'users, and as many sessions',
        'load, client alone',
        'load from an API',
        'memory',
        'bytes of a user or session',
      ],
      ...measured.map(({ users, seconds, bytes }) => {
        const load = fromApi.find((each) => each.users === users)
        return [
          formatNumber(users),
          `${formatNumber(seconds)} s`,
          load ? `${formatNumber(load.seconds)} s` : '',
          `${formatNumber(bytes / MIB)} MiB`,
          formatNumber(bytes / (2 * users)),
        ]
      }),
    ],
    panels: [
      panelByUsers('Load, s', 'log', [
        { name: 'client', points: measured.map(({ users, seconds }) => [users, seconds]) },
        { name: 'from an API', points: fromApi.map(({ users, seconds }) => [users, seconds]) },
      ]),
      panelByUsers('Memory, MiB', 'log', [
        { name: 'client', points: measured.map(({ users, bytes }) => [users, bytes / MIB]) },
      ]),
    ],
  }
}

function subscribersSection({ subscribers }: BenchResults): Section {
  const measured = Object.values(subscribers)
  const bySubscribers = { xTitle: 'subscribers', xScale: 'log', yScale: 'log' } as const
  return {
    name: 'subscribers',
    title: 'Subscribers',
    text: 'One API process. First, how long after the response to a reported logout the last client refuses the tokens of the user, for 200 logouts, one at a time. Then, how many changes the process delivers: 1,000 are stored in one transaction, and each is counted once for each subscriber. The time includes that of the transaction, which decides for few subscribers. These subscribers do not parse what they receive.',
    rows: [
      ['subscribers', 'last refusal: p50', 'p99', 'changes delivered/s', 'MiB/s'],
      ...measured.map(({ subscribers: count, p50Ms, p99Ms, changesPerSecond, bytesPerChange }) => [
        formatNumber(count),
        `${formatNumber(p50Ms)} ms`,
        `${formatNumber(p99Ms)} ms`,
        formatSpread(changesPerSecond),
        formatNumber((median(changesPerSecond) * bytesPerChange) / MIB),
      ]),
    ],
    panels: [
      {
        ...bySubscribers,
        title: 'Until the last client refuses, ms',
        series: [
          { name: 'p50', points: measured.map((each) => [each.subscribers, each.p50Ms]) },
          { name: 'p99', points: measured.map((each) => [each.subscribers, each.p99Ms]) },
        ],
      },
      {
        ...bySubscribers,
        title: 'Changes delivered per second',
        series: [
          {
            name: 'changes',
            points: measured.map((each) => [each.subscribers, median(each.changesPerSecond)]),
          },
        ],
      },
    ],
  }
}

function backlogSection({ backlogs }: BenchResults): Section {
  const measured = Object.values(backlogs)
  return {
    name: 'backlog',
    title: 'A backlog',
    text: 'A worker reads a backlog of Auth0’s log.',
    rows: [
      ['entries', 'time', 'entries/s', 'memory: first', 'highest'],
      ...measured.map(({ entries, seconds, rssMiB }) => [
        formatNumber(entries),
        `${formatNumber(seconds)} s`,
        formatNumber(entries / seconds),
        `${formatNumber(rssMiB[0] ?? Number.NaN)} MiB`,
        `${formatNumber(Math.max(...rssMiB))} MiB`,
      ]),
    ],
    panels: measured.slice(-1).map(({ seconds, rssMiB }) => ({
      title: 'Resident memory, MiB',
      xTitle: 'seconds',
      xScale: 'value',
      yScale: 'value',
      series: [
        {
          name: 'worker',
          points: rssMiB.map((mib, index) => [(index * seconds) / rssMiB.length, mib]),
        },
      ],
    })),
  }
}

function panelByUsers(title: string, yScale: Panel['yScale'], series: Panel['series']): Panel {
  return { title, yScale, series, xTitle: 'users, and as many sessions', xScale: 'log' }
}

/** Whether this is the name of a table, and not of an index. */
function isTable(name: string): boolean {
  return name === 'last_logout' || name === 'session_logout'
}

function sumOf(bytes: Record<string, number>, isIncluded: (name: string) => boolean): number {
  return Object.entries(bytes).reduce((sum, [name, each]) => sum + (isIncluded(name) ? each : 0), 0)
}
