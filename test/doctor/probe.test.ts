import { describe, expect, test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import type { LogResponse } from '../../src/doctor/logs-api.js'
import { checkPage, checkSyntheticId } from '../../src/doctor/probe.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000

/** Returns the log id of an entry that Auth0 stored so many seconds after `NOW`. */
const logIdAfter = (seconds: number) => syntheticLogId(NOW + seconds * 1000)

/** Builds a response of the Logs API. It has one entry for each number, with the log id `logIdAfter(number)`. */
const respondWith = (seconds: number[], status = 200): LogResponse => ({
  status,
  entries: seconds.map((second) => ({ log_id: logIdAfter(second) })),
  hasLink: true,
  limit: null,
  clock: { sentAt: NOW, receivedAt: NOW, serverAt: NOW },
})

const ONE_TO_TEN = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

describe('a page that was requested from the id of an entry', () => {
  const fromId = logIdAfter(0)
  /** The number of entries in the log after `fromId`. A page has at most ten of them. */
  const LATER_ENTRIES = 50

  test.each<[Check['status'], page: string, LogResponse, message: RegExp]>([
    [
      'ok',
      'in ascending order',
      respondWith(ONE_TO_TEN),
      /10 entries in ascending order, no duplicates, with a Link$/,
    ],
    [
      'ok',
      'with fewer entries than requested before the end of the log',
      respondWith(ONE_TO_TEN.slice(0, 9)),
      /fewer than requested before/,
    ],
    [
      'failure',
      'that contains the entry with the requested id',
      respondWith([0, 1]),
      /not strictly newer/,
    ],
    ['failure', 'in descending order', respondWith([3, 2]), /not strictly newer/],
    ['failure', 'with a duplicate', respondWith([1, 1]), /not strictly newer/],
    ['failure', 'whose request was refused', respondWith([], 404), /gets the status 404/],
  ])('checkPage returns the status %s for a page %s', (status, _page, response, message) => {
    const check = checkPage(response, fromId, LATER_ENTRIES)
    expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
  })
})

// A synthetic id is made from a time. Auth0 accepts it as a position if the page after it contains the next entry.
describe('a page that was requested from a synthetic id', () => {
  const nextId = logIdAfter(5)

  test.each<[Check['status'], page: string, LogResponse]>([
    ['ok', 'that begins with the next entry', respondWith([5, 6])],
    ['ok', 'that begins before the next entry', respondWith([4, 5])],
    ['failure', 'that begins after the next entry', respondWith([6])],
    ['failure', 'without entries', respondWith([])],
    ['failure', 'whose request was refused', respondWith([], 400)],
  ])('checkSyntheticId returns the status %s for a page %s', (status, _page, response) => {
    expect(checkSyntheticId(response, nextId).status).toBe(status)
  })
})
