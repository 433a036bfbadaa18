import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { renderErrorCodes } from '../scripts/error-codes.js'

test('docs/errors.md is what `npm run docs:errors` generates', async () => {
  expect(await readFile('docs/errors.md', 'utf8')).toBe(renderErrorCodes())
})

test('docs/errors.md describes every error code', async () => {
  const codes = await readErrorCodes()
  const documented = renderErrorCodes().matchAll(/^## (\w+)$/gm)
  expect([...documented].map(([, code]) => code)).toEqual(codes)
})

/** Reads the members of the union `ErrorCode`, in their order. */
async function readErrorCodes(): Promise<(string | undefined)[]> {
  const source = await readFile('src/errors.ts', 'utf8')
  const [union = ''] = /export type ErrorCode =(\n {2}\| '\w+')+/.exec(source) ?? []
  const codes = [...union.matchAll(/'(\w+)'/g)].map(([, code]) => code)
  expect(codes.length).toBeGreaterThan(20)
  return codes
}
