/**
 * Measures the client:
 *
 * - the time of a check of a token, as a share of the time that `jose` takes to verify the RS256 signature of the token.
 *   It is measured twice: with tokens of which half are revoked, and with tokens of which none is revoked. The second
 *   case is the usual one
 * - the time of a load, as a ratio to the time of parsing the same bytes
 * - the hold of the event loop: the longest time for which the load blocks it
 * - the memory of each user and session
 *
 * Also compares the table in which the client keeps its rows with a `Map`.
 *
 *   npm run bench:check [-- users rounds]
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type { Claims } from '../src/client/index.js'
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import { builtClient } from './built-client.js'
import { reportFigures } from './figures.js'
import { median } from './median.js'
import { openMapStore, openTableStore, type RowStore } from './row-stores.js'
import { sessionIdOf, userIdOf } from './subjects.js'

/** Number of checks in a round. */
const CHECKS = 100_000
/**
 * Number of checks per measurement. Their claims are built just before the measurement. So few claims are still in the
 * processor's cache then, as the claims that a JWT library has just parsed.
 */
const CHECKS_PER_MEASUREMENT = 200
/** Number of verifications of a signature in a round. */
const VERIFICATIONS = 2_000
/** Number of rows to find in a store. */
const FINDS = 200_000
/** Number of rows that are inserted per measurement. */
const ROWS_PER_MEASUREMENT = 500
/** Maximum difference of the measured share of revoked tokens: more than five standard deviations. */
const MAX_SHARE_ERROR = 0.01
const MAX_CHECK_SHARE = 0.005
const MAX_LOAD_MS = 3_000
/** Maximum time for which the load may block the event loop. */
const MAX_HOLD_MS = 50
/** Maximum memory that the client takes for a user or a session. */
const MAX_SUBJECT_BYTES = 130
const [users = '1000000', rounds = '5'] = process.argv.slice(2)
const userCount = Number(users)

if (globalThis.gc === undefined) throw new Error('this benchmark needs node --expose-gc')

const run = startBenchRun()
const feedProcess = forkProcess(run, 'feed-process.ts', [users])
const port = await receiveMessage<number>(feedProcess)
const url = `http://127.0.0.1:${port}`

const parseMs = await measureParsing()
const bytesBefore = measureMemory()
const client = builtClient.createLastLogoutClient({
  url,
  apiKey: 'unused',
  onUnknown: 'deny',
  // After the load, the stream sends nothing. With the default, the cache would become stale during the benchmark.
  maxStalenessMs: 3_600_000,
})
const { ms: loadMs, holdMs } = await measureHold(() => client.ready())
const bytesPerSubject = (measureMemory() - bytesBefore) / (2 * userCount)
console.log(
  `load of ${userCount} users and ${userCount} sessions: ${seconds(loadMs)} (limit ${seconds(MAX_LOAD_MS)}), ` +
    `${(loadMs / parseMs).toFixed(2)} times as long as parsing the same bytes (${seconds(parseMs)})\n` +
    `longest hold of the event loop: ${holdMs.toFixed(0)} ms (limit ${MAX_HOLD_MS} ms)\n` +
    `memory of each user or session: ${bytesPerSubject.toFixed(0)} bytes (limit ${MAX_SUBJECT_BYTES})\n`,
)

console.log('half of the tokens are revoked')
const checkShares = await measureChecks(0.5)
const checkShare = median(checkShares)
console.log(`\nmedian share ${percent(checkShare)} (limit ${percent(MAX_CHECK_SHARE)})\n`)
console.log('no token is revoked')
const validShares = await measureChecks(0)
console.log(`\nmedian share ${percent(median(validShares))}\n`)
await client.close()
feedProcess.kill()

console.log(`rows of ${userCount} users   fill     longest hold   memory of a row   find`)
const stores: Record<string, StoreCosts> = {}
for (const [name, open] of [
  ['table', openTableStore],
  ['Map', openMapStore],
] as const) {
  const costs = await measureStore(open)
  const { fillMs, maxHoldMs, bytes, findNs } = costs
  stores[name] = costs
  console.log(
    `${name.padEnd(21)} ${seconds(fillMs).padStart(8)} ${maxHoldMs.toFixed(0).padStart(11)} ms ` +
      `${bytes.toFixed(0).padStart(11)} bytes ${findNs.toFixed(0).padStart(9)} ns`,
  )
}

/** Returns a cost of the table divided by that of the `Map`, as a list of one ratio. */
const tableToMapRatios = (cost: keyof StoreCosts) => [
  (stores.table?.[cost] ?? Number.NaN) / (stores.Map?.[cost] ?? Number.NaN),
]
reportFigures([
  {
    name: 'client: check, half of the tokens revoked',
    peer: 'RS256 jwtVerify',
    ratios: checkShares,
    atMost: MAX_CHECK_SHARE,
  },
  { name: 'client: check, no token revoked', peer: 'RS256 jwtVerify', ratios: validShares },
  { name: 'client: load', peer: 'parsing the same bytes', ratios: [loadMs / parseMs] },
  {
    name: 'client: load',
    peer: seconds(MAX_LOAD_MS),
    ratios: [loadMs / MAX_LOAD_MS],
    atMost: 1,
  },
  {
    name: 'client: longest hold of the event loop',
    peer: `${MAX_HOLD_MS} ms`,
    ratios: [holdMs / MAX_HOLD_MS],
    atMost: 1,
  },
  {
    name: 'client: memory of a user or session',
    peer: `${MAX_SUBJECT_BYTES} bytes`,
    ratios: [bytesPerSubject / MAX_SUBJECT_BYTES],
    atMost: 1,
  },
  { name: "client's table: fill", peer: 'a Map', ratios: tableToMapRatios('fillMs') },
  { name: "client's table: memory", peer: 'a Map', ratios: tableToMapRatios('bytes') },
  { name: "client's table: find", peer: 'a Map', ratios: tableToMapRatios('findNs') },
])

await run.end()

/** The costs of a store of rows. */
interface StoreCosts {
  /** Time of all inserts. */
  fillMs: number
  /** Longest time for which {@link ROWS_PER_MEASUREMENT} inserts in a row would block the event loop. */
  maxHoldMs: number
  /** Memory of a row. */
  bytes: number
  /** Time of one find. */
  findNs: number
}

/** Reads the feed as the client does, parses each event, and keeps nothing. Returns the time in milliseconds. */
async function measureParsing(): Promise<number> {
  const startedAt = performance.now()
  const response = await fetch(`${url}/v1/changes`)
  const decoder = new TextDecoder()
  let incomplete = ''
  for await (const chunk of response.body ?? []) {
    const blocks = (incomplete + decoder.decode(chunk, { stream: true })).split('\n\n')
    incomplete = blocks.pop() ?? ''
    for (const block of blocks) {
      const event = JSON.parse(block.slice(block.indexOf('data: ') + 'data: '.length))
      // The end of the loop closes the connection.
      if (event.as_of !== undefined) return performance.now() - startedAt
    }
  }
  throw new Error('the feed ended without a freshness event')
}

/** Measures the duration of an operation, and its hold: the longest time for which it blocks the event loop. */
async function measureHold(run: () => Promise<void>): Promise<{ ms: number; holdMs: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const startedAt = performance.now()
  await run()
  const ms = performance.now() - startedAt
  // The monitor records a blocked event loop only after the block has ended.
  await new Promise((resolve) => setTimeout(resolve, 5))
  delay.disable()
  return { ms, holdMs: delay.max / 1e6 }
}

/**
 * Measures verifications and checks alternately. Returns for each round the time of a check divided by that of a
 * verification.
 *
 * @param revokedShare The share of revoked tokens: 0 or 0.5. Only the users whose numbers are below `userCount` have
 *   logged out.
 * @throws `Error` if another share of the checks returns `revoked`.
 */
async function measureChecks(revokedShare: 0 | 0.5): Promise<number[]> {
  const pickUser = () =>
    revokedShare === 0 ? userCount + randomBelow(userCount) : randomBelow(2 * userCount)
  const { privateKey, publicKey } = await generateKeyPair('RS256')
  const token = await new SignJWT(claimsOf(1)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
  const shares: number[] = []
  console.log('verification   check      share')
  for (let round = 0; round < Number(rounds); round++) {
    const verifyUs = await measureMicroseconds(VERIFICATIONS, async () => {
      for (let n = 0; n < VERIFICATIONS; n++) await jwtVerify(token, publicKey)
    })
    let checkUs = 0
    const outcomes = { accepted: 0, revoked: 0, unknown: 0 }
    for (let n = 0; n < CHECKS / CHECKS_PER_MEASUREMENT; n++) {
      const claims = Array.from({ length: CHECKS_PER_MEASUREMENT }, () => freshClaims(pickUser()))
      // Divides by the checks of the whole round, so that the sum of all measurements is the mean time of a check.
      checkUs += await measureMicroseconds(CHECKS, async () => {
        for (const tokenClaims of claims) outcomes[client.checkNow(tokenClaims).outcome]++
      })
    }
    const measuredRevokedShare = outcomes.revoked / CHECKS
    if (outcomes.unknown > 0 || Math.abs(measuredRevokedShare - revokedShare) > MAX_SHARE_ERROR) {
      throw new Error(
        `of ${CHECKS} checks, ${outcomes.revoked} returned revoked and ${outcomes.unknown} unknown`,
      )
    }
    shares.push(checkUs / verifyUs)
    console.log(
      `${verifyUs.toFixed(1).padStart(9)} µs ${checkUs.toFixed(3).padStart(8)} µs   ${percent(checkUs / verifyUs)}`,
    )
  }
  return shares
}

/** Fills a store with a row for each user, and finds rows by random ids. About half of these ids have no row. */
async function measureStore(open: () => RowStore): Promise<StoreCosts> {
  const before = measureMemory()
  const store = open()
  const at = Date.now()
  let fillMs = 0
  let maxHoldMs = 0
  for (let first = 0; first < userCount; first += ROWS_PER_MEASUREMENT) {
    // In the client too, ids come from parsed JSON.
    const ids = freshIds(Array.from({ length: ROWS_PER_MEASUREMENT }, (_, i) => first + i))
    const startedAt = performance.now()
    for (const id of ids) store.merge(id, at)
    const insertMs = performance.now() - startedAt
    fillMs += insertMs
    maxHoldMs = Math.max(maxHoldMs, insertMs)
  }
  const bytes = (measureMemory() - before) / userCount
  const findUs = await measureFinds(store)
  return { fillMs, maxHoldMs, bytes, findNs: findUs * 1000 }
}

async function measureFinds(store: RowStore): Promise<number> {
  const ids = freshIds(Array.from({ length: FINDS }, () => randomBelow(2 * userCount)))
  let foundRows = 0
  const us = await measureMicroseconds(FINDS, async () => {
    for (const id of ids) if (store.find(id) !== -1) foundRows++
  })
  // About half of the ids have a row.
  if (foundRows < FINDS / 3) throw new Error(`only ${foundRows} rows were found`)
  return us
}

/** Returns the ids of users as new strings, for which V8 has not yet computed a hash. */
function freshIds(numbers: number[]): string[] {
  return JSON.parse(JSON.stringify(numbers.map(userIdOf)))
}

/**
 * Returns claims as a JWT library returns them: as a new object, with strings for which V8 has not yet computed a hash.
 */
function freshClaims(n: number): Claims {
  return JSON.parse(JSON.stringify(claimsOf(n)))
}

function randomBelow(limit: number): number {
  return Math.floor(Math.random() * limit)
}

function claimsOf(n: number): Claims {
  const iat = Math.floor(Date.now() / 1000) - 60
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

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`
}
