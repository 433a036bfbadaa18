import { describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS } from '../../src/rules/instant.js'
import { generateHistory, type HistoryOptions } from '../../src/simulator/history.js'
import { createTenant, type LogEntry } from '../../src/simulator/tenant.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON } from './start.js'

// `generateHistory` generates a long log for tests and benchmarks.

const ENTRIES = 5_000
/** Maximum time between the date of a usual entry and its storage, in milliseconds. */
const MAX_LAG_MS = 6_000
/** Maximum time between the date of a late entry and its storage, in milliseconds. */
const MAX_LATE_LAG_MS = 600_000
const LOGOUT_TYPES = ['slo', 'universal_logout_succeeded']

/** Generates 5,000 entries. By default, they are stored in the 24 hours before `NOON`. */
function generate(options: Partial<HistoryOptions> = {}): LogEntry[] {
  return generateHistory({ entries: ENTRIES, startMs: NOON - DAY_MS, endMs: NOON, ...options })
}

function logoutsOf(history: LogEntry[]): LogEntry[] {
  return history.filter(({ type }) => LOGOUT_TYPES.includes(String(type)))
}

describe('generateHistory', () => {
  test('generateHistory returns the given number of entries, with unique ids in ascending order', () => {
    const ids = generate().map((entry) => String(entry.log_id))
    expect(ids).toHaveLength(ENTRIES)
    expect(ids).toEqual([...new Set(ids)].sort())
  })

  test('generateHistory returns entries whose storage times are within the given span', () => {
    // The tenant returns only entries that were stored within the last day.
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, retentionMs: DAY_MS })
    const history = generate()
    tenant.writeStored(history)
    expect(tenant.entries()).toEqual(history)
    expect(tenant.readAfter('', 2 * ENTRIES)).toHaveLength(ENTRIES)
  })

  test('generateHistory returns the same entries for the same seed, and other entries for another seed', () => {
    expect(generate({ seed: 3 })).toEqual(generate({ seed: 3 }))
    expect(generate({ seed: 3 })).not.toEqual(generate({ seed: 4 }))
  })

  test('generateHistory returns entries of at least the given size, and not much longer', () => {
    const sizes = generate({ bytes: 1500 }).map((entry) => JSON.stringify(entry).length)
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(1500)
    expect(Math.max(...sizes)).toBeLessThan(1800)
  })

  test.each([0.02, 0.5])(
    'generateHistory with a `logoutShare` of %d returns this share of logouts, within 20%%',
    (logoutShare) => {
      const share = logoutsOf(generate({ logoutShare })).length / ENTRIES
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
    // The date and the storage time are rounded down to a millisecond, so `lagMs` can be wrong by one millisecond.
    const lateEntries = history.filter((entry) => lagMs(entry) > MAX_LAG_MS + 1)
    expect(lateEntries.length).toBeGreaterThan(50)
    expect(new Set(lateEntries.map(({ type }) => type))).toEqual(
      new Set(['universal_logout_succeeded']),
    )
    expect(Math.max(...lateEntries.map(lagMs))).toBeLessThan(MAX_LATE_LAG_MS + 1)
    expect(Math.min(...history.map(lagMs))).toBeGreaterThanOrEqual(-1)
  })

  test('generateHistory includes entries whose date is before the date of the previous entry', () => {
    // Within an hour, entries are less than a second apart, so a delay of up to 6 s changes their order.
    const dates = generate({ startMs: NOON - HOUR_MS }).map(({ date }) => Date.parse(String(date)))
    const datesBeforePrevious = dates.filter((date, i) => date < (dates[i - 1] ?? 0))
    expect(datesBeforePrevious.length).toBeGreaterThan(100)
  })

  test('generateHistory includes several logouts of one user within a page of 100 entries', () => {
    const page = logoutsOf(generate({ logoutShare: 1 }).slice(0, 100))
    expect(new Set(page.map((entry) => entry.user_id)).size).toBeLessThan(page.length)
  })

  test('generateHistory repeats some entries under a new log id if `duplicateShare` is set', () => {
    const countRepeats = (history: LogEntry[]) =>
      history.filter((entry, i) => contentOf(entry) === contentOf(history[i - 1] ?? {})).length
    expect(countRepeats(generate())).toBe(0)
    // About 500 of the 5,000 entries are repeated.
    expect(countRepeats(generate({ duplicateShare: 0.1 }))).toBeGreaterThan(400)
  })
})

/** Returns the JSON of an entry without its log id. */
function contentOf({ log_id, _id, ...fields }: LogEntry): string {
  return JSON.stringify(fields)
}

/** Returns the storage time in a log id: `yyyyMMddHHmmssSSS` after the prefix 900. */
function storedAtMs(logId: string): number {
  const [, year, month, day, hour, minute, second, ms] =
    /^900(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})/.exec(logId) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`)
}
