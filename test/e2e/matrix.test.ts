import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { Policy } from '../../src/rules/judge.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createClock } from '../_support/clock.js'
import { loadRecorded, type RunAction } from '../_support/run-action.js'
import {
  type Browser,
  createSessionWorld,
  type ExchangeFields,
  type IssuedTokens,
  isDenial,
  type SessionWorld,
} from '../_support/session-world.js'
import { createSharedTime, type SharedTime } from '../_support/shared-time.js'
import { LAG_MS, openWholeSystem, type WholeSystem } from '../_support/whole-system.js'

const MINUTE_MS = 60_000

/** The expected result of a flow. */
type Outcome =
  /** It is rejected from the poll on that reads the logout. */
  | 'closed'
  /** It should be rejected, and is accepted for this time, or without limit. */
  | 'open until the poll'
  | 'open until `exp`'
  | 'open'
  /** It should be accepted, and is. */
  | 'unaffected'
  /** It should be accepted, and is rejected: the user must log in again. */
  | 'refused too'

/** The outcome by `LAST_LOGOUT_ON_ERROR`, where the Action does not know the time of the login. */
type ByOnError = Outcome | { allow: Outcome; deny: Outcome }
/** The outcome by `POLICY`. */
type Cell = ByOnError | { session: ByOnError; user: ByOnError }

/** The fields of the Action's event at a refresh token exchange; `null`: there is no Action. */
const PLANS = {
  none: null,
  nothing: {},
  methods: { methods: true },
  session: { session: true },
  both: { methods: true, session: true },
  enterprise: { methods: true, refreshToken: true },
} satisfies Record<string, ExchangeFields | null>
type Plan = keyof typeof PLANS
type Row = Record<Plan, Cell>

const everywhere = (cell: Cell): Row => ({
  none: cell,
  nothing: cell,
  methods: cell,
  session: cell,
  both: cell,
  enterprise: cell,
})
const B_UNAFFECTED = { session: 'unaffected', user: 'closed' } as const
const OPEN_UNLESS_DENY = { allow: 'open', deny: 'closed' } as const
const WORKS_UNLESS_DENY = { allow: 'unaffected', deny: 'refused too' } as const

/** A user is logged in on the browsers A and B. Then A logs out, unless the flow does something else. */
const MATRIX: Record<keyof typeof flows, Row> = {
  tokenInWindow: everywhere('open until the poll'),
  tokenOfA: everywhere('closed'),
  // Without the Action the token has no session: any logout can be that of its session.
  tokenOfB: { ...everywhere(B_UNAFFECTED), none: { session: 'refused too', user: 'closed' } },
  // Auth0 does not revoke refresh tokens at a logout.
  refreshOnA: { ...everywhere('closed'), none: 'open', nothing: OPEN_UNLESS_DENY },
  // The logout is not known yet. The token has the time of its login, if the event contains it.
  tokenFromWindow: {
    ...everywhere('closed'),
    none: 'open until `exp`',
    nothing: 'open until `exp`',
  },
  refreshOnB: {
    none: { session: 'unaffected', user: 'open' },
    nothing: { session: WORKS_UNLESS_DENY, user: OPEN_UNLESS_DENY },
    methods: { session: 'refused too', user: 'closed' },
    session: { session: 'unaffected', user: OPEN_UNLESS_DENY },
    both: B_UNAFFECTED,
    enterprise: B_UNAFFECTED,
  },
  newLogin: everywhere('unaffected'),
  refreshOfNewLogin: {
    ...everywhere('unaffected'),
    nothing: WORKS_UNLESS_DENY,
    session: { session: 'unaffected', user: WORKS_UNLESS_DENY },
  },
  // The session of B is still active in Auth0.
  silentLogin: everywhere('unaffected'),
  // The refresh token is new. The methods have the time of the login at the start of the session.
  refreshOfSilentLogin: {
    ...everywhere('unaffected'),
    nothing: WORKS_UNLESS_DENY,
    methods: 'refused too',
    session: { session: 'unaffected', user: WORKS_UNLESS_DENY },
    both: { session: 'unaffected', user: 'refused too' },
  },
  tokenOfReported: everywhere('closed'),
  refreshOfReported: {
    ...everywhere('closed'),
    none: 'open',
    nothing: OPEN_UNLESS_DENY,
    session: OPEN_UNLESS_DENY,
  },
  silentLoginOfReported: everywhere('open'),
  // The entry, `sdu`, does not identify the user reliably.
  tokenOfDeleted: everywhere('open until `exp`'),
  tokenOfDeletedWithBackchannel: everywhere('closed'),
  machineToken: everywhere('unaffected'),
}

/** The table of docs/login-action.md. */
const TITLES: Record<keyof typeof flows, string> = {
  tokenInWindow: 'access token of A, in the window before the poll',
  tokenOfA: 'access token of A, after the poll',
  tokenOfB: 'access token of B',
  refreshOnA: 'refresh on A',
  tokenFromWindow: 'access token refreshed on A in the window',
  refreshOnB: 'refresh on B',
  newLogin: 'new login on A',
  refreshOfNewLogin: 'the first refresh after it',
  silentLogin: 'silent login on B',
  refreshOfSilentLogin: 'the first refresh after it',
  tokenOfReported: 'operator’s logout: access token',
  refreshOfReported: 'operator’s logout: refresh',
  silentLoginOfReported: 'operator’s logout: silent login ²',
  tokenOfDeleted: 'account deleted: access token ³',
  tokenOfDeletedWithBackchannel: 'account deleted, reported by Back-Channel Logout ³: access token',
  machineToken: 'machine token',
}
const COLUMNS = {
  none: 'no Action',
  nothing: 'Action, no fields',
  methods: 'Action, `methods`',
  enterprise: 'Action, Enterprise fields',
} satisfies Partial<Record<Plan, string>>

/** Two browsers of a user, and the tokens of their logins. */
interface Scene {
  system: WholeSystem
  time: SharedTime
  world: SessionWorld
  userId: string
  a: Browser
  b: Browser
  onA: IssuedTokens
  onB: IssuedTokens
}

/** The flows. Each returns whether it was accepted. */
const flows = {
  async tokenInWindow(scene: Scene) {
    scene.a.logOut()
    await later(scene, LAG_MS - 1)
    return passes(scene, scene.onA)
  },
  async tokenOfA(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return passes(scene, scene.onA)
  },
  async tokenOfB(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return passes(scene, scene.onB)
  },
  async refreshOnA(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return refreshes(scene, scene.onA)
  },
  async tokenFromWindow(scene: Scene) {
    const { a, onA, world } = scene
    a.logOut()
    await later(scene, LAG_MS - 1)
    const minted = await world.refresh(onA)
    expect(await passes(scene, minted)).toBe(true)
    await later(scene)
    return passes(scene, minted)
  },
  async refreshOnB(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return refreshes(scene, scene.onB)
  },
  async newLogin(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return passes(scene, await scene.a.logIn())
  },
  async refreshOfNewLogin(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return refreshes(scene, await scene.a.logIn())
  },
  async silentLogin(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return passes(scene, await scene.b.logInSilently())
  },
  async refreshOfSilentLogin(scene: Scene) {
    scene.a.logOut()
    await later(scene)
    return refreshes(scene, await scene.b.logInSilently())
  },
  async tokenOfReported(scene: Scene) {
    await reportLogout(scene)
    return passes(scene, scene.onA)
  },
  async refreshOfReported(scene: Scene) {
    await reportLogout(scene)
    return refreshes(scene, scene.onA)
  },
  async silentLoginOfReported(scene: Scene) {
    await reportLogout(scene)
    return passes(scene, await scene.a.logInSilently())
  },
  async tokenOfDeleted(scene: Scene) {
    deleteAccount(scene)
    await later(scene)
    return passes(scene, scene.onA)
  },
  async tokenOfDeletedWithBackchannel(scene: Scene) {
    const { system, userId } = scene
    deleteAccount(scene)
    const details = { initiator: 'account-deleted' }
    system.tenant.write(buildEntry('oidc_backchannel_logout_succeeded', { userId }, { details }))
    await later(scene)
    return passes(scene, scene.onA)
  },
  async machineToken(scene: Scene) {
    const sub = `${randomUUID()}@clients`
    const iat = scene.system.clock.now() / 1000
    scene.a.logOut()
    await scene.system.reportLogout(sub)
    await later(scene)
    return scene.system.accepts({ sub, iat })
  },
}

/** Advances the clock, by default by a minute, and reads the log. */
const later = ({ time }: Scene, ms = MINUTE_MS): Promise<void> => time.pass(ms)

async function passes({ system }: Scene, result: Awaited<ReturnType<SessionWorld['refresh']>>) {
  return !isDenial(result) && system.accepts(result.claims)
}

/** Whether the next refresh is accepted, which must equal the result of the one after it. */
async function refreshes(scene: Scene, tokens: IssuedTokens): Promise<boolean> {
  const first = await passes(scene, await scene.world.refresh(tokens))
  await later(scene)
  expect(await passes(scene, await scene.world.refresh(tokens))).toBe(first)
  return first
}

async function reportLogout(scene: Scene): Promise<void> {
  await scene.system.reportLogout(scene.userId)
  await later(scene)
}

/** Writes the recorded entry: its description contains the id, without the connection. */
function deleteAccount({ system, userId }: Scene): void {
  const description = `user_id: ${userId.split('|')[1]}`
  system.tenant.write(buildEntry('sdu', { userId }, { user_id: '', description }))
}

let code: string
beforeAll(async () => {
  code = await readActionFile()
})

describe.each<Policy>(['session', 'user'])('POLICY=%s', (policy) => {
  const clock = createClock()
  let system: WholeSystem
  // The cells run concurrently: each has its own user.
  const time = createSharedTime(clock, () => system.poll())
  let action: RunAction
  beforeAll(async () => {
    action = loadRecorded(code, clock.now)
    system = await openWholeSystem(clock, {
      POLICY: policy,
      EVENT_TYPES: 'oidc_backchannel_logout_succeeded',
    })
  })
  afterAll(() => system.close())

  /** Logs both browsers in, and expects their tokens and refreshes to be accepted. */
  async function open(plan: Plan, onError: string): Promise<Scene> {
    const exchangeFields = PLANS[plan]
    const world = createSessionWorld({
      tenant: system.tenant,
      runAction: exchangeFields && action,
      secrets: { ...system.secrets, LAST_LOGOUT_ON_ERROR: onError },
      exchangeFields: exchangeFields ?? {},
    })
    const userId = `auth0|${randomUUID()}`
    const [a, b] = [world.openBrowser(userId), world.openBrowser(userId)]
    const scene = { system, time, world, userId, a, b, onA: await a.logIn(), onB: await b.logIn() }
    await later(scene)
    for (const tokens of [scene.onA, scene.onB]) {
      expect(await passes(scene, tokens)).toBe(true)
      expect(await passes(scene, await world.refresh(tokens))).toBe(true)
    }
    return scene
  }

  describe.each(Object.keys(PLANS) as Plan[])('with the event fields of the plan %s', (plan) => {
    const cells = Object.entries(MATRIX).flatMap(([flow, row]) =>
      (['allow', 'deny'] as const)
        .filter((onError) => plan !== 'none' || onError === 'allow')
        .map((onError) => ({ flow, onError, outcome: outcomeOf(row[plan], policy, onError) })),
    )
    test.concurrent.each(cells)('$flow is $outcome (on error: $onError)', async (cell) => {
      const { flow, onError, outcome } = cell
      const run = flows[flow as keyof typeof flows]
      const isAccepted = await time.play(async () => run(await open(plan, onError)))
      expect(isAccepted).toBe(outcome !== 'closed' && outcome !== 'refused too')
    })
  })
})

function outcomeOf(cell: Cell, policy: Policy, onError: 'allow' | 'deny'): Outcome {
  const byOnError = typeof cell === 'object' && 'user' in cell ? cell[policy] : cell
  return typeof byOnError === 'object' ? byOnError[onError] : byOnError
}

/** Describes a cell; where the policies differ, as `session / user`. */
function describeCell(cell: Cell): string {
  const describe = (policy: Policy) => {
    const [allow, deny] = [outcomeOf(cell, policy, 'allow'), outcomeOf(cell, policy, 'deny')]
    return allow === deny ? allow : `${allow} ¹`
  }
  const [session, user] = [describe('session'), describe('user')]
  return session === user ? session : `${session} / ${user}`
}

function renderMatrix(): string {
  const plans = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]
  const rows = Object.entries(MATRIX).map(([flow, row]) => [
    TITLES[flow as keyof typeof flows],
    ...plans.map((plan) => describeCell(row[plan])),
  ])
  const lines = [['', ...Object.values(COLUMNS)], ['', ...plans].map(() => '---'), ...rows]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

test('docs/login-action.md shows the matrix (P14)', async () => {
  const matrix = renderMatrix()
  const [head = ''] = matrix.split('\n')
  const document = await readFile('docs/login-action.md', 'utf8')
  const shown = document.slice(document.indexOf(head)).split('\n\n')[0]
  expect(shown).toBe(matrix)
})
