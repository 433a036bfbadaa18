/**
 * Maximum number of wrong letters in a misspelled name. For a name of fewer than nine letters, the maximum is a third
 * of the number of letters.
 */
const MAX_EDITS = 3

/**
 * Finds the names that `name` may misspell or abbreviate. A letter can be missing, wrong, superfluous or swapped with
 * the next letter.
 *
 * @returns The names with the fewest differences, and the names that begin with `name`, in the order of `names`.
 */
export function findSimilar(name: string, names: readonly string[]): string[] {
  const maxEdits = Math.min(MAX_EDITS, Math.floor(name.length / 3))
  const edits = new Map(names.map((other) => [other, countEdits(name, other)]))
  const fewestEdits = Math.min(...edits.values())
  const isMisspelled = (other: string) =>
    fewestEdits <= maxEdits && edits.get(other) === fewestEdits
  const isAbbreviated = (other: string) => name.length > 2 && other.startsWith(name)
  return names.filter((other) => isMisspelled(other) || isAbbreviated(other))
}

/**
 * Returns the optimal string alignment distance of two names, a variant of the edit distance. Each iteration computes
 * one row of the table, for one letter of `a`.
 */
function countEdits(a: string, b: string): number {
  let rowBeforeLast: number[] = []
  let lastRow = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const at = (cells: number[], index: number) => cells[index] ?? Number.POSITIVE_INFINITY
      const substitution = at(lastRow, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swap = isSwap ? at(rowBeforeLast, j - 2) + 1 : Number.POSITIVE_INFINITY
      row.push(Math.min(at(lastRow, j) + 1, at(row, j - 1) + 1, substitution, swap))
    }
    rowBeforeLast = lastRow
    lastRow = row
  }
  return lastRow[b.length] ?? a.length
}
