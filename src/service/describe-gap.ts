import type { Gap, GapReason } from '../rules/gap.js'
import { concernedUntil, stateOfGap, tokenHorizonMs } from '../rules/gap-state.js'
import { type Instant, toDateTime } from '../rules/instant.js'
import type { Span } from '../rules/span.js'

/** The configured maximum lifetimes of tokens. */
interface Lifetimes {
  maxTokenAgeMs: number
  maxRefreshAgeMs: number
}

/** Descriptions of the reasons for a gap. A gap is a span of the log that Auth0 deleted before it was read. */
export const GAP_REASONS: Record<GapReason, string> = {
  retention: 'deleted before it was read',
  empty_log: 'the log was empty when reading resumed',
  cold_start: 'deleted before the first start',
}

/** Describes the state of a gap: whether its logouts can still concern a valid token. */
export function describeGapState(
  gap: Pick<Span, 'to'>,
  moment: { floorAt: Instant | null; now: Instant },
  lifetimes: Lifetimes,
): string {
  const state = stateOfGap(gap, moment, tokenHorizonMs(lifetimes))
  switch (state) {
    case 'open':
      return `open: ${describeConcern(gap, lifetimes)}`
    case 'closed':
      return 'closed: the floor rejects every token that its logouts could concern'
    case 'expired':
      return 'over: every token that its logouts could concern has expired'
    default:
      return state satisfies never
  }
}

/** Returns the gap that ends last, if it is open. If this gap is closed, all gaps are closed. */
function findOpenGap(
  gaps: readonly Gap[],
  moment: { floorAt: Instant | null; now: Instant },
  lifetimes: Lifetimes,
): Gap | null {
  const [last] = [...gaps].sort((a, b) => b.to - a.to)
  if (last === undefined) return null
  return stateOfGap(last, moment, tokenHorizonMs(lifetimes)) === 'open' ? last : null
}

/** Describes until when the logouts in an open gap can concern a token. */
export function describeConcern(gap: Pick<Span, 'to'>, lifetimes: Lifetimes): string {
  const until = concernedUntil(gap, tokenHorizonMs(lifetimes))
  return `its logouts are unknown, and can concern tokens until ${toDateTime(until)}`
}

/**
 * Describes how to close an open gap, and which tokens this revokes. Without the login Action, `iat` counts as the time
 * of the login. Then the floor revokes only access tokens that were issued before the end of the gap.
 */
export function describeClosing({ to }: Pick<Span, 'to'>, { maxTokenAgeMs }: Lifetimes): string {
  const end = toDateTime(to)
  return (
    `to end these tokens now, run \`last-logout floor raise ${end}\`: without the login Action, it ends only ` +
    `access tokens that expire by ${toDateTime(to + maxTokenAgeMs)} anyway; with it, users whose login is not after ${end} must log in again`
  )
}

/** Explains the gap of a first start. */
export const FIRST_START_NOTE =
  "expected at a first start: the tenant's plan keeps its log for less time than MAX_REFRESH_AGE plus MAX_TOKEN_AGE. Nothing has to be done"

/** Describes how to close the gap that ends last, if it is open; `null`: no gap is open. */
export function adviseOnGaps(
  gaps: readonly Gap[],
  moment: { floorAt: Instant | null; now: Instant },
  lifetimes: Lifetimes,
): string | null {
  const gap = findOpenGap(gaps, moment, lifetimes)
  if (gap === null) return null
  const closing = describeClosing(gap, lifetimes)
  return gap.reason === 'cold_start' ? `${FIRST_START_NOTE}; ${closing}` : closing
}
