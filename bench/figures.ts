import { median } from './median.js'

/** The ratio of a measured value to the value of a peer, or to a limit, in the same run. */
export interface Figure {
  /** The measured value. */
  name: string
  /** What the value is divided by: the peer, such as other code that does comparable work, or the limit. */
  peer: string
  /** The ratios of all rounds. */
  ratios: number[]
  /** Required minimum of the median. */
  atLeast?: number
  /** Required maximum of the median. */
  atMost?: number
  /** Measured values by name, such as `p99Ms`. The documents need them; the table of ratios does not show them. */
  values?: Record<string, number>
}

/**
 * Prints the figures of a benchmark as a table. Also sends the figures to the parent process, if there is a channel.
 */
export function reportFigures(figures: Figure[]): void {
  console.log(`\n${formatTable(figureRows(figures))}`)
  process.send?.(figures)
}

/** Returns the rows of a table of figures. The first row is the header. */
export function figureRows(figures: Figure[]): string[][] {
  return [
    ['measured', 'compared with', 'ratio: median (min to max)', 'required'],
    ...figures.map(({ name, peer, ratios, ...bounds }) => [
      name,
      peer,
      formatSpread(ratios),
      formatRequirement(median(ratios), bounds),
    ]),
  ]
}

/** Aligns the cells of a table in columns. */
export function formatTable(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_cell, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

/** Formats numbers as their median, minimum and maximum. */
export function formatSpread(values: number[]): string {
  const formattedMedian = formatNumber(median(values))
  if (values.length === 1) return formattedMedian
  return `${formattedMedian} (${formatNumber(Math.min(...values))} to ${formatNumber(Math.max(...values))})`
}

/** Formats a number with two or more significant digits, and without an exponent. */
export function formatNumber(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value)
  const digits = Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))))
  return value.toLocaleString('en', {
    minimumFractionDigits: Math.min(digits, 2),
    maximumFractionDigits: Math.max(digits, 0),
  })
}

function formatRequirement(
  medianRatio: number,
  { atLeast, atMost }: Pick<Figure, 'atLeast' | 'atMost'>,
): string {
  // A ratio that is not a number misses every bound.
  if (atLeast !== undefined) return `at least ${atLeast}${medianRatio >= atLeast ? '' : ': missed'}`
  if (atMost !== undefined) return `at most ${atMost}${medianRatio <= atMost ? '' : ': missed'}`
  return ''
}
