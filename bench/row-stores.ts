import type * as Fingerprints from '../src/client/fingerprint.js'
import type * as Tables from '../src/client/table.js'

/**
 * A store of rows, as in the client's cache. Each row has an id, two numbers, and the number of the load that has merged
 * it last.
 */
export interface RowStore {
  /** Inserts a row. If the row exists, `first` and `second` keep the greater of their old and new values. */
  merge(id: string, first: number, second: number, loadNumber: number): void
  /** Returns the sum of `first` and `second`, or -1 if there is no row. The sum makes the store read both numbers. */
  find(id: string): number
}

// As in the benchmark of a check, the built package is measured.
const builtClient = '../dist/client-package/esm/client'
const { createKey, fingerprint }: typeof Fingerprints = await import(
  `${builtClient}/fingerprint.js`
)
const { createTable }: typeof Tables = await import(`${builtClient}/table.js`)

/** Opens a store that uses the table of the client. */
export function openTableStore(): RowStore {
  const table = createTable()
  const key = createKey()
  const hash = new Uint32Array(2)
  return {
    merge(id, first, second, loadNumber) {
      fingerprint(id, key, hash)
      table.merge(hash, first, second, loadNumber)
    },
    find(id) {
      fingerprint(id, key, hash)
      const position = table.find(hash)
      return position < 0 ? -1 : table.first(position) + table.second(position)
    },
  }
}

/** Opens a store that uses a `Map` with an object for each row. */
export function openMapStore(): RowStore {
  const rows = new Map<string, { first: number; second: number; loadNumber: number }>()
  return {
    merge(id, first, second, loadNumber) {
      const row = rows.get(id)
      if (row === undefined) {
        rows.set(id, { first, second, loadNumber })
        return
      }
      row.first = Math.max(row.first, first)
      row.second = Math.max(row.second, second)
      row.loadNumber = loadNumber
    },
    find(id) {
      const row = rows.get(id)
      return row === undefined ? -1 : row.first + row.second
    },
  }
}
