import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renderTable } from '../../bench/growth/markdown.js'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { Policy } from '../../src/rules/judge.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createClock } from '../_support/clock.js'
import { loadActionWithLog, type RunAction } from '../_support/run-action.js'
import { createSharedTime, type SharedTime } from '../_support/shared-time.js'
import {
  type Browser,
  type ExchangeFields,
  type IssuedTokens,
  isDenial,
  type SimulatedAuth0,
  simulateAuth0,
} from '../_support/simulated-auth0.js'
import { writeBlock, writeDeletion } from '../_support/user-entries.js'
import { LAG_MS, openWholeSystem, type WholeSystem } from '../_support/whole-system.js'

const MINUTE_MS = 60_000

/** The result for the last token or the last refresh of a flow. */
type Outcome =
  /** Correct: the token is refused as soon as a poll has read the logout. */
  | 'closed'
  /** Wrong for a short time: the token is accepted until the next poll. */
  | 'open until the poll'
  /** Wrong: the token is accepted until it expires. */
  | 'open until `exp`'
  /** Wrong: the token is accepted without a limit of time. */
  | 'open'
  /** Correct: the token is accepted. */
  | 'unaffected'
  /** Wrong: the token is refused, and the user must log in again. */
  | 'wrongly refused'

/**
 * An outcome that can depend on `LAST_LOGOUT_ON_ERROR`. This secret of the Action allows or denies an exchange if the
 * Action does not know the time of the login.
 */
type OutcomeByOnError = Outcome | { allow: Outcome; deny: Outcome }
/** An outcome that can also depend on `POLICY`. */
type Cell = OutcomeByOnError | { session: OutcomeByOnError; user: OutcomeByOnError }

/**
 * The variants of a tenant. They differ in the fields that the event of the login Action has when a refresh token is
 * exchanged. `null`: the tenant has no Action.
 */
const EVENT_FIELDS = {
  noAction: null,
  noFields: {},
  methods: { methods: true },
  session: { session: true },
  methodsAndSession: { methods: true, session: true },
  enterprise: { methods: true, refreshToken: true },
} satisfies Record<string, ExchangeFields | null>
type Variant = keyof typeof EVENT_FIELDS
type Row = Record<Variant, Cell>

/** Returns a row with the same cell for every variant. */
const inEveryVariant = (cell: Cell): Row => ({
  noAction: cell,
  noFields: cell,
  methods: cell,
  session: cell,
  methodsAndSession: cell,
  enterprise: cell,
})
const CLOSED_BY_USER_POLICY = { session: 'unaffected', user: 'closed' } as const
const OPEN_UNLESS_DENY = { allow: 'open', deny: 'closed' } as const
const UNAFFECTED_UNLESS_DENY = { allow: 'unaffected', deny: 'wrongly refused' } as const

/**
 * The expected outcome of each flow in each variant. At first, a user is logged in on the browsers A and B. In most
 * flows, A then logs out.
 */
const MATRIX: Record<keyof typeof flows, Row> = {
  tokenBeforePoll: inEveryVariant('open until the poll'),
  tokenOfA: inEveryVariant('closed'),
  // Without the Action the token names no session, so every logout of the user counts.
  tokenOfB: {
    ...inEveryVariant(CLOSED_BY_USER_POLICY),
    noAction: { session: 'wrongly refused', user: 'closed' },
  },
  // Auth0 does not revoke refresh tokens at a logout.
  refreshOnA: { ...inEveryVariant('closed'), noAction: 'open', noFields: OPEN_UNLESS_DENY },
  // At the refresh, the service does not know the logout yet. Later, the service can refuse the new token only if the
  // token contains the time of its login. The Action adds this time if the event contains it.
  tokenRefreshedBeforePoll: {
    ...inEveryVariant('closed'),
    noAction: 'open until `exp`',
    noFields: 'open until `exp`',
  },
  refreshOnB: {
    noAction: { session: 'unaffected', user: 'open' },
    noFields: { session: UNAFFECTED_UNLESS_DENY, user: OPEN_UNLESS_DENY },
    methods: { session: 'wrongly refused', user: 'closed' },
    session: { session: 'unaffected', user: OPEN_UNLESS_DENY },
    methodsAndSession: CLOSED_BY_USER_POLICY,
    enterprise: CLOSED_BY_USER_POLICY,
  },
  newLogin: inEveryVariant('unaffected'),
  refreshAfterNewLogin: {
    ...inEveryVariant('unaffected'),
    noFields: UNAFFECTED_UNLESS_DENY,
    session: { session: 'unaffected', user: UNAFFECTED_UNLESS_DENY },
  },
  // The logout of A does not end the session of B in Auth0.
  silentLogin: inEveryVariant('unaffected'),
  // The silent login creates a new refresh token. `methods` still contains the time at which the session began.
  refreshAfterSilentLogin: {
    ...inEveryVariant('unaffected'),
    noFields: UNAFFECTED_UNLESS_DENY,
    methods: 'wrongly refused',
    session: { session: 'unaffected', user: UNAFFECTED_UNLESS_DENY },
    methodsAndSession: { session: 'unaffected', user: 'wrongly refused' },
  },
  tokenAfterOperatorLogout: inEveryVariant('closed'),
  refreshAfterOperatorLogout: {
    ...inEveryVariant('closed'),
    noAction: 'open',
    noFields: OPEN_UNLESS_DENY,
    session: OPEN_UNLESS_DENY,
  },
  // The operator's logout does not end the session in Auth0. A silent login then gets tokens with a new login.
  silentLoginAfterOperatorLogout: inEveryVariant('open'),
  // The log entry of the deletion, `sdu`, does not identify the user reliably.
  tokenAfterAccountDeletion: inEveryVariant('open until `exp`'),
  tokenAfterDeletionWithBackchannelLogout: inEveryVariant('closed'),
  // The log entry of the block, `sapi`, names the administrator.
  tokenAfterBlock: inEveryVariant('open until `exp`'),
  machineToken: inEveryVariant('unaffected'),
}

/**
 * The row titles of the table in docs/login-action.md, also used in test titles. `²` and `³` refer to its footnotes.
 */
const TITLES: Record<keyof typeof flows, string> = {
  tokenBeforePoll: 'access token of A, before the poll',
  tokenOfA: 'access token of A, after the poll',
  tokenOfB: 'access token of B',
  refreshOnA: 'refresh on A',
  tokenRefreshedBeforePoll: 'access token that A refreshed before the poll',
  refreshOnB: 'refresh on B',
  newLogin: 'new login on A',
  refreshAfterNewLogin: 'first refresh after the new login on A',
  silentLogin: 'silent login on B',
  refreshAfterSilentLogin: 'first refresh after the silent login on B',
  tokenAfterOperatorLogout: 'operator’s logout: access token',
  refreshAfterOperatorLogout: 'operator’s logout: refresh',
  silentLoginAfterOperatorLogout: 'operator’s logout: silent login ²',
  tokenAfterAccountDeletion: 'account deleted: access token ³',
  tokenAfterDeletionWithBackchannelLogout:
    'account deleted, reported by Back-Channel Logout ³: access token',
  tokenAfterBlock: 'user blocked: access token ³',
  machineToken: 'machine token',
}
/** The column titles of the table in docs/login-action.md. The table does not show every variant. */
const COLUMNS = {
  noAction: 'no Action',
  noFields: 'Action, no fields',
  methods: 'Action, `methods`',
  enterprise: 'Action, Enterprise fields',
} satisfies Partial<Record<Variant, string>>

/** A user with two browsers, and the tokens of the logins on these browsers. */
interface FlowContext {
  system: WholeSystem
  time: SharedTime
  auth0: SimulatedAuth0
  userId: string
  a: Browser
  b: Browser
  tokensOfA: IssuedTokens
  tokensOfB: IssuedTokens
}

/** Whether the last token or the last refresh of a flow was accepted. */
type Flow = (context: FlowContext) => Promise<boolean>

/** Returns a flow that continues after a poll has read the logout of A. */
const afterLogoutOfA =
  (flow: Flow): Flow =>
  async (context) => {
    context.a.logOut()
    await passTime(context)
    return flow(context)
  }

/** Returns a flow that continues after an operator has reported a logout. */
const afterOperatorLogout =
  (flow: Flow): Flow =>
  async (context) => {
    await context.system.reportLogout(context.userId)
    await passTime(context)
    return flow(context)
  }

/** The flows. Each flow returns whether its last token or its last refresh was accepted. */
const flows = {
  async tokenBeforePoll(context: FlowContext) {
    context.a.logOut()
    // The poll at this instant does not find the logout, because Auth0 makes the entry visible only after `LAG_MS`.
    await passTime(context, LAG_MS - 1)
    return isAccepted(context, context.tokensOfA)
  },
  tokenOfA: afterLogoutOfA((context) => isAccepted(context, context.tokensOfA)),
  tokenOfB: afterLogoutOfA((context) => isAccepted(context, context.tokensOfB)),
  refreshOnA: afterLogoutOfA((context) => isRefreshAccepted(context, context.tokensOfA)),
  async tokenRefreshedBeforePoll(context: FlowContext) {
    const { a, tokensOfA, auth0 } = context
    a.logOut()
    await passTime(context, LAG_MS - 1)
    const refreshed = await auth0.refresh(tokensOfA)
    expect(await isAccepted(context, refreshed)).toBe(true)
    await passTime(context)
    return isAccepted(context, refreshed)
  },
  refreshOnB: afterLogoutOfA((context) => isRefreshAccepted(context, context.tokensOfB)),
  newLogin: afterLogoutOfA(async (context) => isAccepted(context, await context.a.logIn())),
  refreshAfterNewLogin: afterLogoutOfA(async (context) =>
    isRefreshAccepted(context, await context.a.logIn()),
  ),
  silentLogin: afterLogoutOfA(async (context) =>
    isAccepted(context, await context.b.logInSilently()),
  ),
  refreshAfterSilentLogin: afterLogoutOfA(async (context) =>
    isRefreshAccepted(context, await context.b.logInSilently()),
  ),
  tokenAfterOperatorLogout: afterOperatorLogout((context) =>
    isAccepted(context, context.tokensOfA),
  ),
  refreshAfterOperatorLogout: afterOperatorLogout((context) =>
    isRefreshAccepted(context, context.tokensOfA),
  ),
  silentLoginAfterOperatorLogout: afterOperatorLogout(async (context) =>
    isAccepted(context, await context.a.logInSilently()),
  ),
  async tokenAfterAccountDeletion(context: FlowContext) {
    writeDeletion(context.system.tenant, context.userId)
    await passTime(context)
    return isAccepted(context, context.tokensOfA)
  },
  async tokenAfterDeletionWithBackchannelLogout(context: FlowContext) {
    const { system, userId } = context
    writeDeletion(system.tenant, userId)
    const details = { initiator: 'account-deleted' }
    system.tenant.write(buildEntry('oidc_backchannel_logout_succeeded', { userId }, { details }))
    await passTime(context)
    return isAccepted(context, context.tokensOfA)
  },
  async tokenAfterBlock(context: FlowContext) {
    const administrator = await context.auth0.openBrowser(`auth0|${randomUUID()}`).logIn()
    writeBlock(context.system.tenant, context.userId, String(administrator.claims.sub))
    await passTime(context)
    expect(await isAccepted(context, administrator)).toBe(true)
    return isAccepted(context, context.tokensOfA)
  },
  async machineToken(context: FlowContext) {
    const sub = `${randomUUID()}@clients`
    const iat = context.system.clock.now() / 1000
    context.a.logOut()
    await context.system.reportLogout(sub)
    await passTime(context)
    return context.system.accepts({ sub, iat })
  },
}

/** Advances the clock by `ms`, and reads the log. */
const passTime = ({ time }: FlowContext, ms = MINUTE_MS): Promise<void> => time.pass(ms)

/** Whether Auth0 issued a token, and the resource server accepts it. */
async function isAccepted(
  { system }: FlowContext,
  result: Awaited<ReturnType<SimulatedAuth0['refresh']>>,
) {
  return !isDenial(result) && system.accepts(result.claims)
}

/** Whether the tokens of a refresh are accepted. Expects a second refresh to have the same result. */
async function isRefreshAccepted(context: FlowContext, tokens: IssuedTokens): Promise<boolean> {
  const first = await isAccepted(context, await context.auth0.refresh(tokens))
  await passTime(context)
  expect(await isAccepted(context, await context.auth0.refresh(tokens))).toBe(first)
  return first
}

let actionCode: string
beforeAll(async () => {
  actionCode = await readActionFile()
})

describe.each<Policy>(['session', 'user'])('under POLICY=%s', (policy) => {
  const clock = createClock()
  let system: WholeSystem
  // The tests can run concurrently with one tenant, because each test has a user of its own.
  const time = createSharedTime(clock, () => system.poll())
  let action: RunAction
  beforeAll(async () => {
    action = loadActionWithLog(actionCode, clock.now)
    system = await openWholeSystem(clock, {
      POLICY: policy,
      EVENT_TYPES: 'oidc_backchannel_logout_succeeded',
    })
  })
  afterAll(() => system.close())

  /** Logs in on both browsers. Expects the token and a refresh of each browser to be accepted. */
  async function openFlow(variant: Variant, onError: string): Promise<FlowContext> {
    const exchangeFields = EVENT_FIELDS[variant]
    const auth0 = simulateAuth0({
      tenant: system.tenant,
      runAction: exchangeFields && action,
      secrets: { ...system.secrets, LAST_LOGOUT_ON_ERROR: onError },
      exchangeFields: exchangeFields ?? {},
    })
    const userId = `auth0|${randomUUID()}`
    const [a, b] = [auth0.openBrowser(userId), auth0.openBrowser(userId)]
    const [tokensOfA, tokensOfB] = [await a.logIn(), await b.logIn()]
    const context = { system, time, auth0, userId, a, b, tokensOfA, tokensOfB }
    await passTime(context)
    for (const tokens of [tokensOfA, tokensOfB]) {
      expect(await isAccepted(context, tokens)).toBe(true)
      expect(await isAccepted(context, await auth0.refresh(tokens))).toBe(true)
    }
    return context
  }

  describe.each(Object.keys(EVENT_FIELDS) as Variant[])('in the variant %s', (variant) => {
    const testCases = Object.entries(MATRIX).flatMap(([name, row]) => {
      const flow = name as keyof typeof flows
      const titleWithoutFootnote = TITLES[flow].replace(/ [²³]/, '')
      return (
        (['allow', 'deny'] as const)
          // Without the Action, `LAST_LOGOUT_ON_ERROR` has no effect, so one value is enough.
          .filter((onError) => variant !== 'noAction' || onError === 'allow')
          .map((onError) => {
            const outcome = outcomeOf(row[variant], policy, onError)
            const sentence = `${titleWithoutFootnote}: ${outcome} with LAST_LOGOUT_ON_ERROR=${onError}`
            return [sentence, { flow, onError, outcome }] as const
          })
      )
    })
    test.concurrent.each(testCases)('%s', async (_sentence, { flow, onError, outcome }) => {
      const accepted = await time.run(async () => flows[flow](await openFlow(variant, onError)))
      expect(accepted).toBe(outcome !== 'closed' && outcome !== 'wrongly refused')
    })
  })
})

/** Returns the expected outcome of a cell under a policy and a value of `LAST_LOGOUT_ON_ERROR`. */
function outcomeOf(cell: Cell, policy: Policy, onError: 'allow' | 'deny'): Outcome {
  const ofPolicy = typeof cell === 'object' && 'user' in cell ? cell[policy] : cell
  return typeof ofPolicy === 'object' ? ofPolicy[onError] : ofPolicy
}

/**
 * Returns the text of a cell. If the policies have different outcomes, the text contains the outcome under `session`
 * and then the outcome under `user`. The footnote `¹` marks an outcome that depends on `LAST_LOGOUT_ON_ERROR`.
 */
function describeCell(cell: Cell): string {
  const describeOutcome = (policy: Policy) => {
    const [allow, deny] = [outcomeOf(cell, policy, 'allow'), outcomeOf(cell, policy, 'deny')]
    return allow === deny ? allow : `${allow} ¹`
  }
  const [session, user] = [describeOutcome('session'), describeOutcome('user')]
  return session === user ? session : `${session} / ${user}`
}

function renderMatrix(): string {
  const variants = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]
  const rows = Object.entries(MATRIX).map(([flow, row]) => [
    TITLES[flow as keyof typeof flows],
    ...variants.map((variant) => describeCell(row[variant])),
  ])
  return renderTable([['', ...Object.values(COLUMNS)], ...rows])
}

test('docs/login-action.md shows the matrix (pitfall 14)', async () => {
  expect(await readFile('docs/login-action.md', 'utf8')).toContain(`\n\n${renderMatrix()}\n`)
})
