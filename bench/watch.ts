/**
 * A resource server can watch an open connection: if its token is revoked, the client calls `onRevoked`, which ends the
 * connection. Measures the cost of watched connections: the active time of the event loop per change of the feed.
 * Compares the cost with that of a poll, which calls `checkNow` for each connection. Then raises the floor, which
 * revokes the tokens of all users, and measures the batches in which the client ends all connections.
 *
 *   npm run bench:watch [-- connections changes]
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { forkProcess, receiveMessage, startBenchRun } from './bench-run.js'
import { builtClient } from './built-client.js'
import { reportFigures } from './figures.js'
import { sessionIdOf, userIdOf } from './subjects.js'

/** Maximum active time of the event loop per change. */
const MAX_CHANGE_MS = 5
const [connections = '20000', changes = '500'] = process.argv.slice(2)
const connectionCount = Number(connections)
const changeCount = Number(changes)

const run = startBenchRun()
const feed = forkProcess(run, 'watch-feed.ts', [])
const port = await receiveMessage<number>(feed)
const client = builtClient.createLastLogoutClient({
  url: `http://127.0.0.1:${port}`,
  apiKey: 'unused',
  onUnknown: 'deny',
})
await client.ready()

const iat = Math.floor(Date.now() / 1000) - 60
const claimsOf = (n: number) => ({
  sub: userIdOf(n),
  sid: sessionIdOf(n),
  iat,
  exp: iat + 86_400,
})

// Connection `n` has the token of user `n`. A negative number is a user without a connection.
console.log(`${changeCount} changes, one at a time\n`)
console.log('watched   change of             event loop per change   longest hold')
await measureChanges(0, 'another user', (n) => userLogout(-1 - n))
/** For each connection that has ended, the value of `turn` when it ended. */
let turnsOfEnds: number[] = []
/**
 * A timer increments this number every millisecond, so connections with the same number ended in one turn of the event
 * loop.
 */
let turn = 0
for (let n = 0; n < connectionCount; n++) {
  client.watch(claimsOf(n), { onRevoked: () => turnsOfEnds.push(turn) })
}
// Waits until every new watch has been reviewed.
await sleep(2_000)
// Users with numbers below -100,000 have no logout from the first measurement.
const costs = [
  await measureChanges(connectionCount, 'another user', (n) => userLogout(-100_000 - n)),
  await measureChanges(connectionCount, 'a watched user', userLogout),
  await measureChanges(connectionCount, 'a watched session', (n) => sessionLogout(changeCount + n)),
]
// Each change of a watched user or session has ended one connection.
const endedBefore = 2 * changeCount
if (turnsOfEnds.length !== endedBefore)
  throw new Error(`${turnsOfEnds.length} of ${endedBefore} connections ended`)

const startedAt = performance.now()
for (let n = 0; n < connectionCount; n++) client.checkNow(claimsOf(n))
const pollMs = performance.now() - startedAt
console.log(`\na poll of ${connectionCount} connections by checkNow: ${pollMs.toFixed(0)} ms`)

turnsOfEnds = []
const remaining = connectionCount - endedBefore
const turnTimer = setInterval(() => turn++, 1)
const { ms, holdMs } = await measure(async () => {
  feed.send(formatEvent({ kind: 'floor', at: new Date().toISOString() }))
  while (turnsOfEnds.length < remaining) await sleep(5)
})
clearInterval(turnTimer)
const batches = countBatches(turnsOfEnds)
const largestBatch = Math.max(...batches.values())
console.log(
  `the floor ends ${remaining} connections in ${(ms / 1000).toFixed(1)} s, ${batches.size} batches of at most ${largestBatch}; ` +
    `longest hold of the event loop: ${holdMs.toFixed(0)} ms`,
)
await client.close()
const name = `a change with ${connections} watched connections`
reportFigures([
  {
    name: `the costliest kind of change with ${connections} watched connections`,
    peer: `${MAX_CHANGE_MS} ms`,
    ratios: [Math.max(...costs) / MAX_CHANGE_MS],
    atMost: 1,
  },
  { name, peer: 'a poll by checkNow', ratios: costs.map((ms) => ms / pollMs) },
])
await run.end()

/**
 * Sends changes one at a time. Prints and returns the active time of the event loop per change, in milliseconds.
 */
async function measureChanges(
  watched: number,
  subject: string,
  changeOf: (n: number) => object,
): Promise<number> {
  const { activeMs, holdMs } = await measure(async () => {
    for (let n = 0; n < changeCount; n++) {
      const received = new Promise<void>((resolve) => {
        const remove = client.onLogout(() => {
          remove()
          resolve()
        })
      })
      feed.send(formatEvent(changeOf(n)))
      await received
    }
  })
  const changeMs = activeMs / changeCount
  console.log(
    `${String(watched).padStart(7)}   ${subject.padEnd(20)} ${changeMs.toFixed(3).padStart(20)} ms ${holdMs.toFixed(0).padStart(11)} ms`,
  )
  return changeMs
}

/**
 * Measures an operation: its duration, the active time of the event loop, and the longest time for which the event loop
 * was blocked.
 */
async function measure(run: () => Promise<void>) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const before = performance.eventLoopUtilization()
  const startMs = performance.now()
  await run()
  const ms = performance.now() - startMs
  const { active } = performance.eventLoopUtilization(before)
  delay.disable()
  return { ms, activeMs: active, holdMs: delay.max / 1e6 }
}

function userLogout(n: number): object {
  const at = new Date().toISOString()
  return { kind: 'user', user_id: userIdOf(n), at, all_sessions_at: at, type: 'slo' }
}

function sessionLogout(n: number): object {
  const at = new Date().toISOString()
  return {
    kind: 'session',
    session_id: sessionIdOf(n),
    user_id: null,
    at,
    ended: true,
    type: 'slo',
  }
}

function formatEvent(change: object): string {
  return `event: change\ndata: ${JSON.stringify(change)}\n\n`
}

/** Returns the number of connections that ended in each turn. */
function countBatches(turnsOfEnds: number[]): Map<number, number> {
  const batches = new Map<number, number>()
  for (const endTurn of turnsOfEnds) batches.set(endTurn, (batches.get(endTurn) ?? 0) + 1)
  return batches
}
