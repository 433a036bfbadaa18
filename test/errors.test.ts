import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { renderErrorCodes } from '../scripts/error-codes.js'

// `renderErrorCodes` generates docs/errors.md. In docs/errors.md, each error code is a heading of level 2.

test('docs/errors.md is what `npm run docs:errors` generates', async () => {
  expect(await readFile('docs/errors.md', 'utf8')).toBe(renderErrorCodes())
})

test('docs/errors.md has a section for every error code, in the order of the type ErrorCode', async () => {
  const headings = renderErrorCodes().matchAll(/^## (\w+)$/gm)
  expect([...headings].map(([, code]) => code)).toEqual(await readErrorCodes())
})

/** Reads the members of the union type `ErrorCode` from its source, in their order. */
async function readErrorCodes(): Promise<string[]> {
  const source = await readFile('src/errors.ts', 'utf8')
  const [union = ''] = /export type ErrorCode =(\n {2}\| '\w+')+/.exec(source) ?? []
  const codes = [...union.matchAll(/'(\w+)'/g)].map(([, code = '']) => code)
  // Fails if the pattern no longer matches the whole union.
  expect(codes.length).toBeGreaterThan(20)
  return codes
}
