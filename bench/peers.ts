/**
 * Compares a check by the client, and `POST /v1/check`, with other ways to check whether a token was revoked: a GET
 * from Redis, a query to PostgreSQL, and introspection by an OpenID provider. Also compares the check by the client
 * with the verification of the token's RS256 signature. All servers run on the loopback, with their state in memory.
 * Needs `redis-server`.
 *
 *   npm run bench:peers [-- rounds seconds]
 */
import { startBenchRun } from './bench-run.js'
import { reportFigures } from './figures.js'
import { median } from './median.js'
import {
  CHECK_BY_API,
  CHECK_BY_CLIENT,
  openPeers,
  type Peer,
  VERIFICATION_BY_JOSE,
} from './open-peers.js'

/** Number of checks that are pending at the same time. */
const CONCURRENCY = 64
/**
 * Number of checks by the client that are measured together. A single check takes less time than the resolution of the
 * clock.
 */
const CHECKS_PER_MEASUREMENT = 1_000
const [rounds = '5', seconds = '1'] = process.argv.slice(2)

/** The measurements of one round. */
interface Measurement {
  /** Time of a check while no other check is pending, in microseconds. */
  microseconds: number
  /** Checks per second while {@link CONCURRENCY} checks are pending. For synchronous checks: one after another. */
  perSecond: number
}

const run = startBenchRun()
const peers = await openPeers(run)
const results = new Map(peers.map(({ name }) => [name, [] as Measurement[]]))
// Opens connections, and lets V8 compile the code.
for (const peer of peers) await measure(peer, 100)
for (let round = 0; round < Number(rounds); round++) {
  for (const peer of peers)
    results.get(peer.name)?.push(await measure(peer, Number(seconds) * 1000))
}

console.log(`median of ${rounds} rounds of ${seconds} s\n`)
console.log(`${''.padEnd(34)} one at a time   ${CONCURRENCY} at a time`)
for (const [name, measurements] of results) {
  const microseconds = median(measurements.map((each) => each.microseconds))
  const perSecond = median(measurements.map((each) => each.perSecond))
  console.log(
    `${name.padEnd(34)} ${microseconds.toFixed(1).padStart(10)} µs ${perSecond.toFixed(0).padStart(12)}/s`,
  )
}

const otherPeers = [...results].filter(
  ([name]) => name !== CHECK_BY_CLIENT && name !== CHECK_BY_API,
)
const byClient = results.get(CHECK_BY_CLIENT) ?? []
const byApi = results.get(CHECK_BY_API) ?? []
reportFigures([
  ...otherPeers.map(([name, measurements]) => ({
    name: `${CHECK_BY_CLIENT}: time`,
    peer: name,
    ratios: byClient.map(
      (each, round) => each.microseconds / roundOf(measurements, round).microseconds,
    ),
  })),
  ...otherPeers
    .filter(([name]) => name !== VERIFICATION_BY_JOSE)
    .map(([name, measurements]) => ({
      name: `${CHECK_BY_API}: throughput`,
      peer: name,
      ratios: byApi.map((each, round) => each.perSecond / roundOf(measurements, round).perSecond),
    })),
])
await run.end()

/**
 * Measures a peer. Runs one check at a time for half of `durationMs`, and many checks in parallel for the other half.
 */
async function measure({ check, isSynchronous }: Peer, durationMs: number): Promise<Measurement> {
  const checksPerMeasurement = isSynchronous ? CHECKS_PER_MEASUREMENT : 1
  const timesMs: number[] = []
  const halfTimeMs = performance.now() + durationMs / 2
  while (performance.now() < halfTimeMs) {
    const startMs = performance.now()
    for (let n = 0; n < checksPerMeasurement; n++) {
      const pending = check()
      if (!isSynchronous) await pending
    }
    timesMs.push(performance.now() - startMs)
  }
  const microseconds = (median(timesMs) * 1000) / checksPerMeasurement
  if (isSynchronous) return { microseconds, perSecond: 1_000_000 / microseconds }

  const startMs = performance.now()
  const endMs = startMs + durationMs / 2
  let checks = 0
  const repeat = async () => {
    for (; performance.now() < endMs; checks++) await check()
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, repeat))
  return { microseconds, perSecond: (checks * 1000) / (performance.now() - startMs) }
}

function roundOf(measurements: Measurement[], round: number): Measurement {
  const measurement = measurements[round]
  if (measurement === undefined) throw new Error(`there is no round ${round}`)
  return measurement
}
