import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON, start } from './start.js'

describe('the storage of an entry', () => {
  test('a log id consists of a prefix, the storage time in microseconds, and 33 digits', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, lagMs: () => 1234.5 })
    const { logId, entry } = tenant.write({ type: 'slo' })
    expect(logId).toMatch(/^90020260301120001234500\d{33}$/)
    expect(entry).toMatchObject({ log_id: logId, _id: logId, date: '2026-03-01T12:00:00.000Z' })
  })

  test('a tenant can have another prefix of log ids', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, prefix: '800' })
    expect(tenant.write({ type: 'slo' }).logId).toMatch(/^800\d{53}$/)
    expect(tenant.positionAt(NOON)).toBe('80020260301120000000000')
  })

  test('entries with the same storage time get unique ids in the order of writing', () => {
    const tenant = createTenant({ domain: DOMAIN, now: () => NOON, lagMs: () => 0 })
    const ids = Array.from({ length: 1000 }, () => tenant.write({ type: 's' }).logId)
    expect(ids).toEqual([...new Set(ids)].sort())
  })

  test('by default, an entry is stored 0–6 s after its date, so that dates are not in the order of the log', async () => {
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
    clock.ms += 20_000
    const entries = (await (await logs('?from=900&take=100')).json()) as { date: string }[]
    const dates = entries.map(({ date }) => date)
    expect(dates).toHaveLength(100)
    expect(dates).not.toEqual(dates.toSorted())
  })

  test('an entry is readable at its storage time and later, but not earlier', async () => {
    const { tenant, clock, ids } = await start({ lagMs: () => 3000 })
    const { logId } = tenant.write({ type: 'slo' })
    clock.ms = NOON + 2999
    expect([await ids('?from=900'), await ids()]).toEqual([[], []])
    clock.ms = NOON + 3000
    expect([await ids('?from=900'), await ids()]).toEqual([[logId], [logId]])
  })

  test('entries are ordered by log id, not by date', async () => {
    const { tenant, clock, logs } = await start()
    tenant.write({ type: 'slo' }, { dateMs: NOON, storedAtMs: NOON + 4000 })
    tenant.write({ type: 'slo' }, { dateMs: NOON + 1000, storedAtMs: NOON + 2000 })
    clock.ms = NOON + 5000
    const entries = (await (await logs('?from=900')).json()) as { date: string }[]
    expect(entries.map(({ date }) => Date.parse(date) - NOON)).toEqual([1000, 0])
  })

  test('an entry with a past storage time is not read after a later checkpoint', async () => {
    const { tenant, ids } = await start()
    const checkpoint = tenant.write({ type: 's' }).logId
    const { logId } = tenant.write({ type: 'slo' }, { storedAtMs: NOON - 60_000 })
    expect(await ids(`?from=${checkpoint}`)).toEqual([])
    expect(await ids('?from=900')).toEqual([logId, checkpoint])
  })

  test('after its retention, an entry is readable neither by checkpoint nor by search', async () => {
    const { tenant, clock, ids } = await start({ retentionMs: 10_000 })
    const { logId } = tenant.write({ type: 'slo' })
    clock.ms = NOON + 10_000
    expect([await ids('?from=900'), await ids()]).toEqual([[logId], [logId]])
    clock.ms = NOON + 10_001
    expect([await ids('?from=900'), await ids()]).toEqual([[], []])
    expect(tenant.entries()).toHaveLength(1)
  })

  test('the date of an entry is returned unchanged', async () => {
    const { tenant, logs } = await start()
    tenant.write({ type: 'slo', date: null })
    tenant.write({ type: 'slo', date: 'soon' })
    tenant.write({ type: 'slo', date: undefined })
    const entries = (await (await logs('?from=900')).json()) as object[]
    expect(entries.map((entry) => ('date' in entry ? entry.date : 'absent'))).toEqual([
      null,
      'soon',
      'absent',
    ])
  })
})

describe('complete entries', () => {
  const entry = (n: number, fields: object = {}) => {
    const id = `90020260301110000${String(n).padStart(39, '0')}`
    return { log_id: id, _id: id, type: 'slo', ...fields }
  }

  test('complete entries are read in the order of their ids, whatever the order of writing', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(50))), (batches) => {
        const tenant = createTenant({ domain: DOMAIN, now: () => NOON })
        for (const batch of batches) tenant.writeStored(batch.map((n) => entry(n)))
        const expected = [...new Set(batches.flat())].sort((a, b) => a - b).map((n) => entry(n))
        expect(tenant.entries()).toEqual(expected)
      }),
    )
  })

  test('a complete entry is skipped if its id is already stored', () => {
    const tenant = createTenant({ domain: DOMAIN })
    tenant.writeStored([entry(1, { type: 'first' })])
    tenant.writeStored([entry(1, { type: 'second' })])
    expect(tenant.entries()).toEqual([entry(1, { type: 'first' })])
  })

  test.each([undefined, 7, '', '123', `800${'0'.repeat(53)}`])(
    'a complete entry is rejected with the id %s',
    (id) => {
      const tenant = createTenant({ domain: DOMAIN })
      expect(() => tenant.writeStored([{ log_id: id }])).toThrow(TypeError)
    },
  )
})
