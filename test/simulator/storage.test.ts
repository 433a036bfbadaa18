import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON, type StartedSimulator, start } from './start.js'

/** The query for entries from the beginning of the log: every log id is greater than its own prefix `900`. */
const FROM_BEGINNING = '?from=900'

/** Reads the log ids of all readable entries: from the beginning of the log, and by a search. */
async function readIds({ ids }: StartedSimulator) {
  return { fromBeginning: await ids(FROM_BEGINNING), bySearch: await ids() }
}

describe('the storage of an entry', () => {
  test('a log id consists of a prefix, the storage time in microseconds, and 33 digits', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, lagMs: () => 1234.5 })
    const { logId, entry } = tenant.write({ type: 'slo' })
    // The storage time is 12:00:01.234500, which is 1,234.5 ms after noon.
    expect(logId).toMatch(/^900(20260301120001234500)\d{33}$/)
    expect(entry).toMatchObject({ log_id: logId, _id: logId, date: '2026-03-01T12:00:00.000Z' })
  })

  test('a tenant can have another prefix of log ids', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, prefix: '800' })
    expect(tenant.write({ type: 'slo' }).logId).toMatch(/^800\d+$/)
    expect(tenant.positionAt(NOON)).toBe('80020260301120000000000')
  })

  test('entries with the same storage time get unique ids in the order of writing', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, lagMs: () => 0 })
    const ids = Array.from({ length: 1000 }, () => tenant.write({ type: 's' }).logId)
    expect(ids).toEqual([...new Set(ids)].sort())
  })

  test('by default, an entry is stored 0–6 s after its date, and the log is not in the order of dates', async () => {
    const clock = { ms: NOON }
    const tenant = createTenant({ domain: DOMAIN, now: () => clock.ms })
    const { logs } = await start({ tenant })
    const lagsMs = Array.from({ length: 100 }, (_, i) => {
      const dateMs = NOON + i * 100
      return tenant.write({ type: 's' }, { dateMs }).storedAtMs - dateMs
    })
    expect(Math.min(...lagsMs)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...lagsMs)).toBeGreaterThan(5000)
    expect(Math.max(...lagsMs)).toBeLessThan(6000)
    // The last date is 9.9 s after noon, and each entry is stored within 6 s of its date.
    clock.ms += 20_000
    const response = await logs(`${FROM_BEGINNING}&take=100`)
    const entries = (await response.json()) as { date: string }[]
    const dates = entries.map(({ date }) => date)
    expect(dates).toHaveLength(100)
    expect(dates).not.toEqual(dates.toSorted())
  })

  test('an entry is readable at its storage time, but not a millisecond earlier', async () => {
    const simulator = await start({ lagMs: () => 3000 })
    const { logId } = simulator.tenant.write({ type: 'slo' })
    simulator.clock.ms = NOON + 2999
    expect(await readIds(simulator)).toEqual({ fromBeginning: [], bySearch: [] })
    simulator.clock.ms = NOON + 3000
    expect(await readIds(simulator)).toEqual({ fromBeginning: [logId], bySearch: [logId] })
  })

  test('entries are ordered by log id, not by date', async () => {
    const { tenant, clock, logs } = await start()
    tenant.write({ type: 'slo' }, { dateMs: NOON, storedAtMs: NOON + 4000 })
    tenant.write({ type: 'slo' }, { dateMs: NOON + 1000, storedAtMs: NOON + 2000 })
    clock.ms = NOON + 5000
    const entries = (await (await logs(FROM_BEGINNING)).json()) as { date: string }[]
    const datesAfterNoonMs = entries.map(({ date }) => Date.parse(date) - NOON)
    expect(datesAfterNoonMs).toEqual([1000, 0])
  })

  test('a reader that continues after an entry does not get an entry with an earlier storage time', async () => {
    const { tenant, ids } = await start()
    const checkpoint = tenant.write({ type: 's' }).logId
    const { logId } = tenant.write({ type: 'slo' }, { storedAtMs: NOON - 60_000 })
    expect(await ids(`?from=${checkpoint}`)).toEqual([])
    expect(await ids(FROM_BEGINNING)).toEqual([logId, checkpoint])
  })

  test('after the retention of an entry, the API no longer returns the entry, but the tenant still holds it', async () => {
    const simulator = await start({ retentionMs: 10_000 })
    const { tenant, clock } = simulator
    const { logId } = tenant.write({ type: 'slo' })
    clock.ms = NOON + 10_000
    expect(await readIds(simulator)).toEqual({ fromBeginning: [logId], bySearch: [logId] })
    clock.ms = NOON + 10_001
    expect(await readIds(simulator)).toEqual({ fromBeginning: [], bySearch: [] })
    expect(tenant.entries()).toHaveLength(1)
  })

  test('the date of an entry is returned unchanged, even if it is invalid or absent', async () => {
    const { tenant, logs } = await start()
    tenant.write({ type: 'slo', date: null })
    tenant.write({ type: 'slo', date: 'soon' })
    tenant.write({ type: 'slo', date: undefined })
    const entries = (await (await logs(FROM_BEGINNING)).json()) as object[]
    expect(entries.map((entry) => ('date' in entry ? entry.date : 'absent'))).toEqual([
      null,
      'soon',
      'absent',
    ])
  })
})

describe('entries that are written with their log ids', () => {
  /** Returns an entry with a log id of 11:00. The id ends in `n`. */
  const entryWithId = (n: number, fields: object = {}) => {
    const id = `90020260301110000${String(n).padStart(39, '0')}`
    return { log_id: id, _id: id, type: 'slo', ...fields }
  }

  test('entries with log ids are read once each in the order of the ids, whatever the order of writing', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(50))), (batches) => {
        const tenant = createTenant({ domain: DOMAIN, now: () => NOON })
        for (const batch of batches) tenant.writeStored(batch.map((n) => entryWithId(n)))
        const distinctNumbers = [...new Set(batches.flat())].sort((a, b) => a - b)
        expect(tenant.entries()).toEqual(distinctNumbers.map((n) => entryWithId(n)))
      }),
    )
  })

  test('an entry is skipped if its log id is already stored', () => {
    const tenant = createTenant({ domain: DOMAIN })
    tenant.writeStored([entryWithId(1, { type: 'first' })])
    tenant.writeStored([entryWithId(1, { type: 'second' })])
    expect(tenant.entries()).toEqual([entryWithId(1, { type: 'first' })])
  })

  const ID_WITH_OTHER_PREFIX = `800${'0'.repeat(53)}`
  test.each([undefined, 7, '', '123', ID_WITH_OTHER_PREFIX])(
    'an entry with the invalid log id %s is rejected',
    (id) => {
      const tenant = createTenant({ domain: DOMAIN })
      expect(() => tenant.writeStored([{ log_id: id }])).toThrow(TypeError)
    },
  )
})
