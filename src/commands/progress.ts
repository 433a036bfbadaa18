import type { Logger } from 'pino'
import type { Instant } from '../rules/instant.js'
import { isReadTwice, type SyncProgress } from '../sync/catch-up.js'

/** Milliseconds since whenever. */
type Clock = () => number

/** Shows how far a sync is. */
export interface Progress {
  update(progress: SyncProgress): void
  finish(): void
}

const LINE_EVERY_MS = 100
const LOG_EVERY_MS = 5_000

/** One line that updates, for a terminal. */
export function createProgressLine(
  print: (text: string) => void,
  now: Clock = () => performance.now(),
): Progress {
  const show = (total: Total) => print(`\r\x1b[K${toLine(total)}`)
  return createProgress(now, LINE_EVERY_MS, show, (total) => {
    show(total)
    print('\n')
  })
}

/** A log line every few seconds, and one at the end. */
export function createProgressLog(log: Logger, now: Clock = () => performance.now()): Progress {
  return createProgress(
    now,
    LOG_EVERY_MS,
    (total) => log.info(toFields(total), 'reading the log'),
    (total) => log.info(toFields(total), 'caught up'),
  )
}

interface Total {
  stage: SyncProgress['stage'] | 'caught up'
  entries: number
  events: number
  pages: number
  reachedAt: Instant | null
  elapsedMs: number
}

function createProgress(
  now: Clock,
  everyMs: number,
  show: (total: Total) => void,
  finish: (total: Total) => void,
): Progress {
  const startedAt = now()
  const total: Total = {
    stage: 'catch-up',
    entries: 0,
    events: 0,
    pages: 0,
    reachedAt: null,
    elapsedMs: 0,
  }
  let shownAt = startedAt
  return {
    update({ stage, entries, events, pages, reachedAt }) {
      total.stage = stage
      total.pages += pages
      if (!isReadTwice(stage)) {
        total.entries += entries
        total.events += events
      }
      total.reachedAt = reachedAt
      total.elapsedMs = now() - startedAt
      if (now() - shownAt < everyMs) return
      shownAt = now()
      show(total)
    },
    finish() {
      total.elapsedMs = now() - startedAt
      finish({ ...total, stage: 'caught up' })
    },
  }
}

function toFields({ stage, entries, events, pages, reachedAt, elapsedMs }: Total) {
  return {
    stage,
    entries,
    logouts: events,
    pages,
    pagesPerSecond: pagesPerSecond(pages, elapsedMs),
    ...(stage !== 'caught up' && reachedAt !== null && { behindMs: Date.now() - reachedAt }),
  }
}

function toLine(total: Total): string {
  const { stage, entries, events, pages, reachedAt, elapsedMs } = total
  const where = {
    'catch-up': `${toDuration(reachedAt)} behind`,
    sweep: `sweeping, ${toDuration(reachedAt)} back`,
    outage: `searching for logouts, ${toDuration(reachedAt)} back`,
    reconcile: 'reconciling',
    'caught up': 'caught up',
  }[stage]
  return `${entries} entries read, ${events} logouts, ${where}, ${pagesPerSecond(pages, elapsedMs)} pages/s`
}

function pagesPerSecond(pages: number, elapsedMs: number): number {
  return Math.round((pages / Math.max(elapsedMs, 1)) * 10_000) / 10
}

function toDuration(at: Instant | null): string {
  if (at === null) return '?'
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000))
  const [days, hours, minutes] = [86_400, 3_600, 60].map((unit) => Math.floor(seconds / unit))
  if (days) return `${days} d ${(hours ?? 0) % 24} h`
  if (hours) return `${hours} h ${(minutes ?? 0) % 60} min`
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`
}
