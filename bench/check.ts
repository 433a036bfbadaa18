/**
 * Measures the time of a check, as a share of the time that `jose` takes to verify the token's RS256 signature. Also
 * measures the memory that the client takes for each cached user and session. Checks and verifications run alternately.
 *
 *   npm run bench:check [-- users rounds]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type * as Client from '../src/client/index.js'
import { reportFigures } from './figures.js'
import { median } from './median.js'
import { sessionIdOf, userIdOf } from './subjects.js'

// The benchmark measures the built package. A TypeScript loader adds code that preserves function names, and that code
// takes as long as a check.
const builtPackage = '../dist/client-package/esm/client/index.js'
const { createLastLogoutClient }: typeof Client = await import(builtPackage)

const CHECKS = 100_000
const VERIFICATIONS = 2_000
const MAX_CHECK_SHARE = 0.01
const MAX_SUBJECT_BYTES = 130
const [users = '1000000', rounds = '5'] = process.argv.slice(2)
const userCount = Number(users)

if (globalThis.gc === undefined) throw new Error('this benchmark needs node --expose-gc')

const feedProcess = fork(new URL('./feed-process.ts', import.meta.url), [users])
const [port] = (await once(feedProcess, 'message')) as [number]

const bytesBefore = measureMemory()
const client = createLastLogoutClient({
  url: `http://127.0.0.1:${port}`,
  apiKey: 'unused',
  onUnknown: 'deny',
  // After the load, the stream sends nothing. With the default, the cache would become stale during the benchmark.
  maxStalenessMs: 3_600_000,
})
const startedAt = performance.now()
await client.ready()
const loadedMs = performance.now() - startedAt
const bytesPerSubject = (measureMemory() - bytesBefore) / (2 * userCount)
console.log(
  `${userCount} users and ${userCount} sessions loaded in ${(loadedMs / 1000).toFixed(1)} s: ` +
    `${bytesPerSubject.toFixed(0)} bytes each (limit ${MAX_SUBJECT_BYTES})\n`,
)

const iat = Math.floor(Date.now() / 1000) - 60
const { privateKey, publicKey } = await generateKeyPair('RS256')
const token = await new SignJWT(claimsOf(1)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)

const shares: number[] = []
console.log('verification   check      share')
for (let round = 0; round < Number(rounds); round++) {
  const verifyUs = await measureMicroseconds(VERIFICATIONS, async () => {
    for (let n = 0; n < VERIFICATIONS; n++) await jwtVerify(token, publicKey)
  })
  const claims = freshClaims()
  const checkUs = await measureMicroseconds(CHECKS, async () => {
    for (const tokenClaims of claims)
      if (client.checkNow(tokenClaims).outcome === 'unknown') throw new Error()
  })
  shares.push(checkUs / verifyUs)
  console.log(
    `${verifyUs.toFixed(1).padStart(9)} µs ${checkUs.toFixed(3).padStart(8)} µs   ${percent(checkUs / verifyUs)}`,
  )
}
const share = median(shares)
console.log(`\nmedian share ${percent(share)} (limit ${percent(MAX_CHECK_SHARE)})`)
if (share > MAX_CHECK_SHARE || bytesPerSubject > MAX_SUBJECT_BYTES) process.exitCode = 1
await client.close()
feedProcess.kill()
reportFigures([
  { name: 'client: check', peer: 'RS256 jwtVerify', ratios: shares, atMost: 0.005 },
  {
    name: 'client: memory of a user or session',
    peer: `${MAX_SUBJECT_BYTES} bytes`,
    ratios: [bytesPerSubject / MAX_SUBJECT_BYTES],
    atMost: 1,
  },
])

/**
 * Returns claims as a JWT library returns them: as new objects, with strings that V8 has not hashed. Half of the users
 * are in the client's cache.
 */
function freshClaims(): Client.Claims[] {
  return Array.from({ length: CHECKS }, () => {
    const n = Math.floor(Math.random() * userCount * 2)
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

async function measureMicroseconds(times: number, run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return ((performance.now() - startedAt) * 1000) / times
}

function measureMemory(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`
}
