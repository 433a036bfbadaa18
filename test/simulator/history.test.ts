import { describe, expect, test } from 'vitest'
import { generateHistory, type HistoryOptions } from '../../src/simulator/history.js'
import { createTenant, type LogEntry } from '../../src/simulator/tenant.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON } from './start.js'

const DAY_MS = 86_400_000
const LOGOUT_TYPES = ['slo', 'universal_logout_succeeded']

function generate(options: Partial<HistoryOptions> = {}): LogEntry[] {
  return generateHistory({ entries: 5000, startMs: NOON - DAY_MS, endMs: NOON, ...options })
}

function logoutsOf(history: LogEntry[]): LogEntry[] {
  return history.filter(({ type }) => LOGOUT_TYPES.includes(String(type)))
}

describe('generateHistory', () => {
  test('generateHistory returns the given number of entries, with unique ids in ascending order', () => {
    const ids = generate().map((entry) => String(entry.log_id))
    expect(ids).toHaveLength(5000)
    expect(ids).toEqual([...new Set(ids)].sort())
  })

  test('generateHistory returns entries that are stored within the given span', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, retentionMs: DAY_MS })
    const history = generate()
    tenant.writeStored(history)
    expect(tenant.entries()).toEqual(history)
    expect(tenant.readAfter('', 10_000)).toHaveLength(5000)
  })

  test('generateHistory returns the same entries for the same seed', () => {
    expect(generate({ seed: 3 })).toEqual(generate({ seed: 3 }))
    expect(generate({ seed: 3 })).not.toEqual(generate({ seed: 4 }))
  })

  test('generateHistory returns entries of the given minimum size', () => {
    const sizes = generate({ bytes: 1500 }).map((entry) => JSON.stringify(entry).length)
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(1500)
    expect(Math.max(...sizes)).toBeLessThan(1800)
  })

  test.each([0.02, 0.5])(
    'generateHistory with a `logoutShare` of %d returns about that share of logouts',
    (logoutShare) => {
      const share = logoutsOf(generate({ logoutShare })).length / 5000
      expect(share).toBeGreaterThan(logoutShare * 0.8)
      expect(share).toBeLessThan(logoutShare * 1.2)
    },
  )

  test('generateHistory includes logouts without a session, a user or a date, and universal logouts', () => {
    const allLogouts = logoutsOf(generate({ logoutShare: 0.5 }))
    const count = (matches: (entry: LogEntry) => boolean) => allLogouts.filter(matches).length
    expect(count((entry) => entry.user_id === null)).toBeGreaterThan(0)
    expect(count((entry) => entry.user_id === '')).toBeGreaterThan(0)
    expect(count((entry) => !('user_id' in entry))).toBeGreaterThan(0)
    expect(count((entry) => !('date' in entry))).toBeGreaterThan(0)
    expect(count((entry) => !JSON.stringify(entry).includes('session_id'))).toBeGreaterThan(100)
    expect(count((entry) => entry.type === 'universal_logout_succeeded')).toBeGreaterThan(100)
  })

  test('generateHistory stores entries up to 6 s after their date, and some universal logouts up to 10 minutes after their date', () => {
    const history = generate({ logoutShare: 0.5 }).filter((entry) => 'date' in entry)
    const lagMs = ({ log_id, date }: LogEntry) =>
      storedAtMs(String(log_id)) - Date.parse(String(date))
    const lateEntries = history.filter((entry) => lagMs(entry) > 6001)
    expect(lateEntries.length).toBeGreaterThan(50)
    expect(new Set(lateEntries.map(({ type }) => type))).toEqual(
      new Set(['universal_logout_succeeded']),
    )
    expect(Math.max(...lateEntries.map(lagMs))).toBeLessThan(600_001)
    expect(Math.min(...history.map(lagMs))).toBeGreaterThanOrEqual(-1)
  })

  test('generateHistory includes entries whose date is before the date of the previous entry', () => {
    const dates = generate({ startMs: NOON - 3_600_000 }).map(({ date }) =>
      Date.parse(String(date)),
    )
    const backwards = dates.filter((date, i) => date < (dates[i - 1] ?? 0))
    expect(backwards.length).toBeGreaterThan(100)
  })

  test('generateHistory includes several logouts of one user within a page', () => {
    const page = logoutsOf(generate({ logoutShare: 1 }).slice(0, 100))
    expect(new Set(page.map((entry) => entry.user_id)).size).toBeLessThan(page.length)
  })

  test('generateHistory repeats some entries under a new log id if `duplicateShare` is set', () => {
    const countRepeats = (history: LogEntry[]) =>
      history.filter((entry, i) => contentOf(entry) === contentOf(history[i - 1] ?? {})).length
    expect(countRepeats(generate())).toBe(0)
    expect(countRepeats(generate({ duplicateShare: 0.1 }))).toBeGreaterThan(400)
  })
})

function contentOf({ log_id, _id, ...fields }: LogEntry): string {
  return JSON.stringify(fields)
}

/** Returns the storage time in a log id. */
function storedAtMs(logId: string): number {
  const [, year, month, day, hour, minute, second, ms] =
    /^900(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})/.exec(logId) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`)
}
