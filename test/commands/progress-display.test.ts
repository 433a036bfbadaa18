import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createProgressLine, createProgressLog } from '../../src/commands/progress-display.js'
import { createLog } from '../../src/log.js'
import type { SyncProgress } from '../../src/measurements.js'

const page = (reachedAt: number): SyncProgress => ({
  stage: 'catch-up',
  pages: 1,
  entries: 100,
  events: 20,
  reachedAt,
})

/** A clock that the test advances. */
function createClock() {
  let ms = 0
  const advance = (byMs: number) => {
    ms += byMs
  }
  return { now: () => ms, advance }
}

test('the progress line shows entries, logouts, lag and pages per second, and is not drawn again within 100 ms', () => {
  const printed: string[] = []
  const clock = createClock()
  const line = createProgressLine((text) => printed.push(text), clock.now)
  line.update(page(Date.now() - 3_723_000))
  expect(printed).toEqual([])
  clock.advance(500)
  line.update(page(Date.now() - 3_723_000))
  line.update(page(Date.now()))
  expect(printed).toEqual(['\r\x1b[K200 entries read, 40 logouts, 1 h 2 min behind, 4 pages/s'])
  clock.advance(500)
  line.finish()
  expect(printed.slice(1)).toEqual([
    '\r\x1b[K300 entries read, 60 logouts, caught up, 3 pages/s',
    '\n',
  ])
})

test('the progress log contains the progress every five seconds and at the end', async () => {
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const clock = createClock()
  const progress = createProgressLog(await createLog('info', stream), clock.now)
  progress.update(page(Date.now() - 60_000))
  clock.advance(5_000)
  progress.update(page(Date.now() - 60_000))
  progress.finish()
  expect(lines).toMatchObject([
    {
      msg: 'reading the log',
      entries: 200,
      logouts: 40,
      pagesPerSecond: 0.4,
      behindMs: expect.any(Number),
    },
    { msg: 'caught up', entries: 200, logouts: 40, pagesPerSecond: 0.4 },
  ])
})
