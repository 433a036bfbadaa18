import { DAY_MS, HOUR_MS } from '../rules/instant.js'

const UNITS: [name: string, ms: number][] = [
  ['days', DAY_MS],
  ['hours', HOUR_MS],
  ['minutes', 60_000],
]

/** Formats a duration in the largest unit that gives a number of at least two. */
export function formatDuration(ms: number): string {
  const [name, unit] = UNITS.find(([, size]) => ms >= 2 * size) ?? ['s', 1000]
  const count = ms / unit
  return `${count < 10 ? Math.round(count * 10) / 10 : Math.round(count)} ${name}`
}
