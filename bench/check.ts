/**
 * Measures the time of a check, as a share of the time that verifying the token's signature takes (RS256 by `jose`).
 * Also measures the memory of a cached user or session. Checks and verifications run alternately.
 *
 *   npm run bench:check [-- users rounds]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type * as Client from '../src/client/index.js'
import { median } from './median.js'
import { sessionIdOf, userIdOf } from './subjects.js'

// The built package is measured: a TypeScript loader that preserves function names takes as long as a check.
const built = '../dist/client-package/esm/client/index.js'
const { createLastLogoutClient }: typeof Client = await import(built)

const CHECKS = 100_000
const VERIFICATIONS = 2_000
const MAX_SHARE = 0.01
const MAX_BYTES = 130
const [users = '1000000', rounds = '5'] = process.argv.slice(2)
const count = Number(users)

if (globalThis.gc === undefined) throw new Error('this benchmark needs node --expose-gc')

const served = fork(new URL('./feed-process.ts', import.meta.url), [users])
const [port] = (await once(served, 'message')) as [number]

const before = memory()
const client = createLastLogoutClient({
  url: `http://127.0.0.1:${port}`,
  apiKey: 'unused',
  onUnknown: 'deny',
  // The stream sends nothing after the load. With the default, the cache would become stale.
  maxStalenessMs: 3_600_000,
})
const startedAt = performance.now()
await client.ready()
const loadedMs = performance.now() - startedAt
const bytes = (memory() - before) / (2 * count)
console.log(
  `${count} users and ${count} sessions loaded in ${(loadedMs / 1000).toFixed(1)} s: ` +
    `${bytes.toFixed(0)} bytes each (limit ${MAX_BYTES})\n`,
)

const iat = Math.floor(Date.now() / 1000) - 60
const { privateKey, publicKey } = await generateKeyPair('RS256')
const token = await new SignJWT(claimsOf(1)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)

const shares: number[] = []
console.log('verification   check      share')
for (let round = 0; round < Number(rounds); round++) {
  const verifyUs = await microseconds(VERIFICATIONS, async () => {
    for (let n = 0; n < VERIFICATIONS; n++) await jwtVerify(token, publicKey)
  })
  const claims = freshClaims()
  const checkUs = await microseconds(CHECKS, async () => {
    for (const each of claims) if (client.checkNow(each).outcome === 'unknown') throw new Error()
  })
  shares.push(checkUs / verifyUs)
  console.log(
    `${verifyUs.toFixed(1).padStart(9)} µs ${checkUs.toFixed(3).padStart(8)} µs   ${percent(checkUs / verifyUs)}`,
  )
}
const share = median(shares)
console.log(`\nmedian share ${percent(share)} (limit ${percent(MAX_SHARE)})`)
if (share > MAX_SHARE || bytes > MAX_BYTES) process.exitCode = 1
await client.close()
served.kill()

/** New claims, as a JWT library returns them: V8 has not hashed their strings yet. Half of the users are cached. */
function freshClaims(): Client.Claims[] {
  return Array.from({ length: CHECKS }, () => {
    const n = Math.floor(Math.random() * count * 2)
    return JSON.parse(JSON.stringify(claimsOf(n)))
  })
}

function claimsOf(n: number): Client.Claims {
  return {
    'https://last-logout/authenticated_at': iat,
    'https://last-logout/session_id': sessionIdOf(n),
    iss: 'https://tenant.example/',
    sub: userIdOf(n),
    aud: ['https://orders.example.com', 'https://tenant.example/userinfo'],
    iat,
    exp: iat + 86_400,
    scope: 'openid profile read:orders',
    azp: 'OrderDeskWebClient00000000000001',
  }
}

async function microseconds(times: number, run: () => Promise<void>): Promise<number> {
  const from = performance.now()
  await run()
  return ((performance.now() - from) * 1000) / times
}

function memory(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`
}
