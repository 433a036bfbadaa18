import type * as Fingerprints from '../src/client/fingerprint.js'
import type * as Tables from '../src/client/table.js'

/** A store of rows, as in the client's cache. Each row has an id and the instant of a logout. */
export interface RowStore {
  /** Inserts a row. If the row exists, it keeps the later instant. */
  merge(id: string, at: number): void
  /** Returns the instant of a row, or -1 if there is no row. */
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
    merge(id, at) {
      fingerprint(id, key, hash)
      table.merge(hash, at, true)
    },
    find(id) {
      fingerprint(id, key, hash)
      const position = table.find(hash)
      return position < 0 ? -1 : table.at(position)
    },
  }
}

/** Opens a store that uses a `Map` with an object for each row. */
export function openMapStore(): RowStore {
  const rows = new Map<string, { at: number; hasEnded: boolean; loadNumber: number }>()
  return {
    merge(id, at) {
      const row = rows.get(id)
      if (row === undefined) {
        // Like a row of the table, the object contains the number of the load that has delivered it last.
        rows.set(id, { at, hasEnded: true, loadNumber: 1 })
        return
      }
      row.at = Math.max(row.at, at)
    },
    find: (id) => rows.get(id)?.at ?? -1,
  }
}
