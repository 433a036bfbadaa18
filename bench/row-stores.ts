import type * as Fingerprints from '../src/client/fingerprint.js'
import type * as Tables from '../src/client/table.js'

/** A store of rows. Each row has an id and two numbers. */
export interface RowStore {
  /** Inserts a row. If the row exists, each of its two numbers becomes the greater of the old and the new number. */
  merge(id: string, first: number, second: number, loadNumber: number): void
  /** Returns the sum of the numbers of a row, or -1 if there is no row. */
  find(id: string): number
}

// As in the benchmark of a check, the built package is measured.
const built = '../dist/client-package/esm/client'
const { createKey, fingerprint }: typeof Fingerprints = await import(`${built}/fingerprint.js`)
const { createTable }: typeof Tables = await import(`${built}/table.js`)

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
