import { setTimeout as sleep } from 'node:timers/promises'
import { errors } from 'jose'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createKeySet, KEY_SET_LIMITS, type KeySet } from '../../src/tokens/key-set.js'
import {
  createTokenSigner,
  type KeySetServer,
  openKeySetServer,
  type TokenSigner,
} from '../_support/token-signer.js'

const headerOf = (kid: string) => ({ alg: 'RS256', kid })
/** The rest of a token, which the search for a key ignores. */
const tokenBody = { payload: '', signature: '' }
const noMatchingKeyError = expect.any(errors.JWKSNoMatchingKey)
const unavailableError = expect.objectContaining({ code: 'KEY_SET_UNAVAILABLE' })

let firstSigner: TokenSigner
let secondSigner: TokenSigner
beforeAll(async () => {
  ;[firstSigner, secondSigner] = await Promise.all([
    createTokenSigner('one'),
    createTokenSigner('two'),
  ])
})

let server: KeySetServer
let logMessages: string[]
beforeEach(async () => {
  server = await openKeySetServer(firstSigner.jwk)
  logMessages = []
})
afterEach(() => server.close())

/** Opens a key set. Its log messages are added to `logMessages`. */
function openKeySet(limits: Partial<typeof KEY_SET_LIMITS> = {}): KeySet {
  return createKeySet({
    url: server.url,
    log: { warn: (_fields, message) => void logMessages.push(message) },
    limits: { ...KEY_SET_LIMITS, ...limits },
  })
}

const find = (keySet: KeySet, kid: string) => keySet.find(headerOf(kid), tokenBody)

describe('a key set', () => {
  test('concurrent and later tokens share one fetch of the key set', async () => {
    const keySet = openKeySet()
    await Promise.all([keySet.load(), find(keySet, 'one'), find(keySet, 'one')])
    expect(await find(keySet, 'one')).toMatchObject({ type: 'public' })
    expect(server.requestCount).toBe(1)
  })

  test('a key set rejects an unknown key after it has been fetched for this token', async () => {
    await expect(find(openKeySet(), 'unknown')).rejects.toEqual(noMatchingKeyError)
    const keySet = openKeySet({ cooldownMs: 0 })
    await keySet.load()
    await expect(find(keySet, 'unknown')).rejects.toEqual(noMatchingKeyError)
    // One fetch of the first key set, and two of the second: its load, and the search for the unknown key.
    expect(server.requestCount).toBe(3)
  })

  test('a key set finds a key that was added after the last fetch', async () => {
    const keySet = openKeySet({ cooldownMs: 0 })
    await keySet.load()
    server.keys = [firstSigner.jwk, secondSigner.jwk]
    expect(await find(keySet, 'two')).toMatchObject({ type: 'public' })
  })

  test('during the cooldown after a fetch, a key set finds its keys, and is unavailable for other keys', async () => {
    const keySet = openKeySet({ cooldownMs: 30_000 })
    await keySet.load()
    server.keys = [firstSigner.jwk, secondSigner.jwk]
    const error = await find(keySet, 'two').catch((error) => error)
    expect(error).toEqual(unavailableError)
    expect(error.retryAfterMs).toBeGreaterThan(25_000)
    expect(error.retryAfterMs).toBeLessThanOrEqual(30_000)
    expect(await find(keySet, 'one')).toMatchObject({ type: 'public' })
  })

  test('a key set is fetched at most once per cooldown, for any number of unknown keys', async () => {
    const keySet = openKeySet()
    const searches = Array.from({ length: 200 }, (_, n) => find(keySet, `unknown-${n}`))
    await Promise.allSettled(searches)
    await expect(find(keySet, 'unknown')).rejects.toEqual(unavailableError)
    expect(server.requestCount).toBe(1)
  })

  test('a key set finds a key only for the algorithm of the key', async () => {
    const keySet = openKeySet({ cooldownMs: 0 })
    await expect(keySet.find({ alg: 'PS256', kid: 'one' }, tokenBody)).rejects.toEqual(
      noMatchingKeyError,
    )
    await expect(keySet.find({ alg: 'HS256', kid: 'one' }, tokenBody)).rejects.toBeInstanceOf(
      errors.JOSENotSupported,
    )
  })
})

describe('during an outage of the key set server', () => {
  const outage = { status: 500, body: '' }

  test('a key set keeps its keys, logs the outage once, and logs its end', async () => {
    const keySet = openKeySet({ refreshMs: 0, cooldownMs: 0, retryMs: 0 })
    await keySet.load()
    server.response = outage
    for (let n = 0; n < 5; n++) await find(keySet, 'one')
    await expect.poll(() => logMessages).toEqual(['key set unavailable'])
    await expect(find(keySet, 'unknown')).rejects.toEqual(unavailableError)
    server.response = undefined
    await find(keySet, 'one')
    await expect.poll(() => logMessages.at(-1)).toBe('key set available again')
    expect(logMessages).toHaveLength(2)
  })

  test('a key set does not use keys that are older than the limit keepMs', async () => {
    const keySet = openKeySet({ keepMs: 0, cooldownMs: 0, retryMs: 0 })
    await keySet.load()
    server.response = outage
    await expect(find(keySet, 'one')).rejects.toEqual(unavailableError)
    server.response = undefined
    expect(await find(keySet, 'one')).toMatchObject({ type: 'public' })
  })

  test('a key set that is older than refreshMs is fetched before its keys are used, so that a removed key is not accepted', async () => {
    const keySet = openKeySet({ cooldownMs: 0, refreshMs: 5 })
    await keySet.load()
    server.keys = [secondSigner.jwk]
    await sleep(15)
    // The generation is null while the keys must be fetched again.
    expect(keySet.generation()).toBeNull()
    await expect(find(keySet, 'one')).rejects.toEqual(noMatchingKeyError)
    await expect(find(keySet, 'two')).resolves.toMatchObject({ type: 'public' })
  })

  test('a key set is fetched once for many tokens until retryMs has elapsed', async () => {
    server.response = outage
    const keySet = openKeySet({ retryMs: 5_000 })
    for (let n = 0; n < 50; n++) await expect(find(keySet, 'one')).rejects.toEqual(unavailableError)
    expect(server.requestCount).toBe(1)
  })

  test.each([
    ['a page of HTML', { status: 200, body: '<html>' }],
    ['JSON that is no key set', { status: 200, body: '{"keys":[1]}' }],
    ['null', { status: 200, body: 'null' }],
    ['a key set without keys', { status: 200, body: '{"keys":[]}' }],
    ['a redirect', { status: 302, body: '', location: '/elsewhere' }],
    ['no response', null],
  ])('a key set is unavailable if the URL responds with %s', async (_what, response) => {
    server.response = response
    const keySet = openKeySet(response === null ? { timeoutMs: 50 } : {})
    await keySet.load()
    expect(logMessages).toEqual(['key set unavailable'])
    await expect(find(keySet, 'one')).rejects.toEqual(unavailableError)
    expect(server.requestCount).toBe(1)
  })

  test('a key set keeps its keys if the URL responds with a key set without keys', async () => {
    const keySet = openKeySet({ cooldownMs: 0, retryMs: 0, refreshMs: 0 })
    await keySet.load()
    server.keys = []
    for (let n = 0; n < 3; n++) expect(await find(keySet, 'one')).toMatchObject({ type: 'public' })
    expect(logMessages).toEqual(['key set unavailable'])
  })

  test.each([
    ['without a modulus', { n: undefined }],
    ['with a modulus of 24 bits', { n: 'AQAB' }],
    ['with an unreadable modulus', { n: '!!!' }],
    ['without an exponent', { e: undefined }],
  ])(
    'a key set is unavailable for the tokens of a key %s, and logs this once',
    async (_what, fields) => {
      server.keys = [{ ...firstSigner.jwk, ...fields } as typeof firstSigner.jwk, secondSigner.jwk]
      const keySet = openKeySet()
      for (let n = 0; n < 2; n++) {
        await expect(find(keySet, 'one')).rejects.toEqual(unavailableError)
      }
      expect(await find(keySet, 'two')).toMatchObject({ type: 'public' })
      expect(logMessages).toEqual(['key unusable'])
    },
  )
})
