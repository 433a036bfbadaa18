import type { Logger } from 'pino'
import type { SyncProgress } from '../measurements.js'
import type { Instant } from '../rules/instant.js'
import { isReadAgainByCatchUp } from '../sync/catch-up.js'

/** Returns the time of a monotonic clock, in milliseconds. */
type Clock = () => number

/** Shows the progress of a sync. */
export interface ProgressDisplay {
  update(progress: SyncProgress): void
  finish(): void
}

const LINE_INTERVAL_MS = 100
const LOG_INTERVAL_MS = 5_000

/** Shows the progress as one line of a terminal, and redraws this line. */
export function createProgressLine(
  print: (text: string) => void,
  now: Clock = () => performance.now(),
): ProgressDisplay {
  const show = (total: TotalProgress) => print(`\r\x1b[K${toLine(total)}`)
  return createDisplay(now, LINE_INTERVAL_MS, show, (total) => {
    show(total)
    print('\n')
  })
}

/** Logs the progress every five seconds, and once at the end. */
export function createProgressLog(
  log: Logger,
  now: Clock = () => performance.now(),
): ProgressDisplay {
  return createDisplay(
    now,
    LOG_INTERVAL_MS,
    (total) => log.info(toFields(total), 'reading the log'),
    (total) => log.info(toFields(total), 'caught up'),
  )
}

/** The progress since the start: the sums of all updates. */
interface TotalProgress extends Omit<SyncProgress, 'stage'> {
  stage: SyncProgress['stage'] | 'caught up'
  elapsedMs: number
}

function createDisplay(
  now: Clock,
  intervalMs: number,
  show: (total: TotalProgress) => void,
  finish: (total: TotalProgress) => void,
): ProgressDisplay {
  const startedAt = now()
  const total: TotalProgress = {
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
      if (!isReadAgainByCatchUp(stage)) {
        total.entries += entries
        total.events += events
      }
      total.reachedAt = reachedAt
      total.elapsedMs = now() - startedAt
      if (now() - shownAt < intervalMs) return
      shownAt = now()
      show(total)
    },
    finish() {
      total.elapsedMs = now() - startedAt
      finish({ ...total, stage: 'caught up' })
    },
  }
}

function toFields({ stage, entries, events, pages, reachedAt, elapsedMs }: TotalProgress) {
  return {
    stage,
    entries,
    logouts: events,
    pages,
    pagesPerSecond: pagesPerSecond(pages, elapsedMs),
    ...(stage !== 'caught up' && reachedAt !== null && { behindMs: Date.now() - reachedAt }),
  }
}

function toLine(total: TotalProgress): string {
  const { stage, entries, events, pages, reachedAt, elapsedMs } = total
  const position = {
    'catch-up': `${toDuration(reachedAt)} behind`,
    sweep: `sweeping, ${toDuration(reachedAt)} back`,
    outage: `searching the outage, ${toDuration(reachedAt)} back`,
    reconcile: 'reconciling',
    'caught up': 'caught up',
  }[stage]
  return `${entries} entries read, ${events} logouts, ${position}, ${pagesPerSecond(pages, elapsedMs)} pages/s`
}

function pagesPerSecond(pages: number, elapsedMs: number): number {
  const rate = pages / (Math.max(elapsedMs, 1) / 1000)
  return Math.round(rate * 10) / 10
}

function toDuration(at: Instant | null): string {
  if (at === null) return '?'
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000))
  const [days, hours, minutes] = [86_400, 3_600, 60].map((unit) => Math.floor(seconds / unit))
  if (days) return `${days} d ${(hours ?? 0) % 24} h`
  if (hours) return `${hours} h ${(minutes ?? 0) % 60} min`
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`
}
