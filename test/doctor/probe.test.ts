import { describe, expect, test } from 'vitest'
import { checkPage, checkSyntheticId } from '../../src/doctor/probe.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000

describe('the probe', () => {
  const id = (n: number) => syntheticLogId(NOW + n * 1000)
  const respond = (numbers: number[], status = 200) => ({
    status,
    entries: numbers.map((n) => ({ log_id: id(n) })),
    hasLink: true,
    limit: null,
    clock: { sentAt: NOW, receivedAt: NOW, serverAt: NOW },
  })
  const numbersUpTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

  test.each<[string, ReturnType<typeof respond>, string, RegExp]>([
    [
      'ascending',
      respond(numbersUpTo(10)),
      'ok',
      /10 entries in ascending order, no duplicates, with a Link$/,
    ],
    [
      'with fewer entries than requested before the end of the log',
      respond(numbersUpTo(9)),
      'ok',
      /fewer than requested before/,
    ],
    ['with the entry of the checkpoint', respond([0, 1]), 'failure', /not strictly newer/],
    ['descending', respond([3, 2]), 'failure', /not strictly newer/],
    ['with a duplicate', respond([1, 1]), 'failure', /not strictly newer/],
    ['refused', respond([], 404), 'failure', /gets the status 404/],
  ])('checkPage returns the right status for a page: %s', (_what, response, status, message) => {
    expect(checkPage(response, id(0), 50)).toMatchObject({
      status,
      message: expect.stringMatching(message),
    })
  })

  test.each<[string, ReturnType<typeof respond>, string]>([
    ['accepted as a position', respond([5, 6]), 'ok'],
    ['accepted: the page begins before the known entry', respond([4, 5]), 'ok'],
    ['not accepted: the known entry is missing', respond([6]), 'failure'],
    ['not accepted: the page is empty', respond([]), 'failure'],
    ['not accepted: the request is refused', respond([], 400), 'failure'],
  ])('checkSyntheticId returns the right status for a response: %s', (_what, response, status) => {
    expect(checkSyntheticId(response, id(5)).status).toBe(status)
  })
})
