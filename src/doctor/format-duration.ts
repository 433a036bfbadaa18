const UNITS: [name: string, ms: number][] = [
  ['days', 86_400_000],
  ['hours', 3_600_000],
  ['minutes', 60_000],
]

/** Formats a duration for people, in the largest unit of which there are at least two. */
export function formatDuration(ms: number): string {
  const [name, unit] = UNITS.find(([, size]) => ms >= 2 * size) ?? ['s', 1000]
  const count = ms / unit
  return `${count < 10 ? Math.round(count * 10) / 10 : Math.round(count)} ${name}`
}
