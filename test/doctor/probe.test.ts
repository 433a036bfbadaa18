import { describe, expect, test } from 'vitest'
import { checkPage, checkSyntheticId } from '../../src/doctor/probe.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000

describe('the probe', () => {
  /** Returns the log id of an entry that Auth0 stored this many seconds after `NOW`. */
  const logIdAfter = (seconds: number) => syntheticLogId(NOW + seconds * 1000)
  /** Builds a response of the Logs API. Its entries have the log ids of these seconds. */
  const respondWith = (seconds: number[], status = 200) => ({
    status,
    entries: seconds.map((second) => ({ log_id: logIdAfter(second) })),
    hasLink: true,
    limit: null,
    clock: { sentAt: NOW, receivedAt: NOW, serverAt: NOW },
  })
  const numbersUpTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

  test.each<[string, ReturnType<typeof respondWith>, string, RegExp]>([
    [
      'in ascending order',
      respondWith(numbersUpTo(10)),
      'ok',
      /10 entries in ascending order, no duplicates, with a Link$/,
    ],
    [
      'with fewer entries than requested before the end of the log',
      respondWith(numbersUpTo(9)),
      'ok',
      /fewer than requested before/,
    ],
    ['with the entry of the checkpoint', respondWith([0, 1]), 'failure', /not strictly newer/],
    ['in descending order', respondWith([3, 2]), 'failure', /not strictly newer/],
    ['with a duplicate', respondWith([1, 1]), 'failure', /not strictly newer/],
    ['whose request was refused', respondWith([], 404), 'failure', /gets the status 404/],
  ])('checkPage returns the right status for a page %s', (_what, response, status, message) => {
    // The page begins after `logIdAfter(0)`. The log contains 50 later entries.
    expect(checkPage(response, logIdAfter(0), 50)).toMatchObject({
      status,
      message: expect.stringMatching(message),
    })
  })

  test.each<[string, ReturnType<typeof respondWith>, string]>([
    ['accepted as a position', respondWith([5, 6]), 'ok'],
    ['accepted: the page begins before the known entry', respondWith([4, 5]), 'ok'],
    ['not accepted: the known entry is missing', respondWith([6]), 'failure'],
    ['not accepted: the page is empty', respondWith([]), 'failure'],
    ['not accepted: the request is refused', respondWith([], 400), 'failure'],
  ])('checkSyntheticId returns the right status for a response: %s', (_what, response, status) => {
    // The page was requested from a synthetic id before the known entry `logIdAfter(5)`.
    expect(checkSyntheticId(response, logIdAfter(5)).status).toBe(status)
  })
})
