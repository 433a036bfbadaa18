import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createProgressLine, createProgressLog } from '../../src/commands/progress-display.js'
import { createLog } from '../../src/log.js'
import type { SyncProgress } from '../../src/measurements.js'

const MINUTE_MS = 60_000

/** Returns the progress after one page. The page ends with an entry that Auth0 stored at `reachedAt`. */
const onePage = (reachedAt: number): SyncProgress => ({
  stage: 'catch-up',
  pages: 1,
  entries: 100,
  events: 20,
  reachedAt,
})

/** Creates a clock that only `advance` advances. */
function createClock() {
  let ms = 0
  const advance = (byMs: number) => {
    ms += byMs
  }
  return { now: () => ms, advance }
}

test('the progress line shows entries, logouts, lag and pages per second, and is drawn at most every 100 ms', () => {
  const printed: string[] = []
  const clock = createClock()
  const line = createProgressLine((text) => printed.push(text), clock.now)
  const behindMs = 62 * MINUTE_MS
  line.update(onePage(Date.now() - behindMs))
  expect(printed).toEqual([])
  clock.advance(500)
  line.update(onePage(Date.now() - behindMs))
  line.update(onePage(Date.now()))
  // The line shows two pages after half a second. The third page is not shown yet.
  expect(printed).toEqual(['\r\x1b[K200 entries read, 40 logouts, 1 h 2 min behind, 4 pages/s'])
  clock.advance(500)
  line.finish()
  // `finish` shows all three pages after one second.
  expect(printed.slice(1)).toEqual([
    '\r\x1b[K300 entries read, 60 logouts, caught up, 3 pages/s',
    '\n',
  ])
})

test('the progress log contains the progress after five seconds and at the end', async () => {
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const clock = createClock()
  const progress = createProgressLog(await createLog('info', stream), clock.now)
  progress.update(onePage(Date.now() - MINUTE_MS))
  clock.advance(5_000)
  progress.update(onePage(Date.now() - MINUTE_MS))
  progress.finish()
  // Two pages in five seconds.
  const pagesPerSecond = 0.4
  expect(lines).toMatchObject([
    {
      msg: 'reading the log',
      entries: 200,
      logouts: 40,
      pagesPerSecond,
      behindMs: expect.any(Number),
    },
    { msg: 'caught up', entries: 200, logouts: 40, pagesPerSecond },
  ])
})
