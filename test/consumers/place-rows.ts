import { renderTable } from '../../bench/growth/markdown.js'
import type { Policy } from '../../src/rules/judge.js'

/** The places in which a logout ends access, with the column titles of the table in docs/login-action.md. */
export const PLACES = {
  api: 'API with the client',
  live: 'live connection',
  gateway: 'gateway',
  cookie: 'cookie session',
}
/** A key of {@link PLACES}. */
export type Place = keyof typeof PLACES

/** What happens to the access in a place after a flow, for example after a logout. */
export type PlaceOutcome =
  /** The access should end. It ends without a poll of the tenant's log. */
  | 'closed at once'
  /** The access should end. It ends as soon as a poll has read the log entry. */
  | 'closed after the poll'
  /** The access should end. It continues until the token expires. */
  | 'open until `exp`'
  /** The access should end. It continues until the app ends its session. */
  | 'open until the session expires'
  /** The access should continue, and does. */
  | 'unaffected'
  /** The access should continue, but ends: the user must log in again. */
  | 'wrongly refused'

/**
 * The tenants: without the Action, or with the Action. The Action's event at an exchange (the use of a refresh token)
 * has no field with the time of the login, the field `methods`, or the Enterprise fields.
 */
const VARIANTS = ['noAction', 'noFields', 'methods', 'enterprise'] as const
/** One of {@link VARIANTS}. */
export type Variant = (typeof VARIANTS)[number]

/** An outcome that can depend on `POLICY`. */
type Cell = PlaceOutcome | Record<Policy, PlaceOutcome>

/**
 * The flows. `A` and `B` are browsers on which the user is logged in. `logoutOfAForB` is the logout on A, and what it
 * does to the access on B.
 */
export type FlowName =
  | 'logoutOfA'
  | 'logoutOfAForB'
  | 'endpointLogoutOfA'
  | 'endpointLogoutOfAForB'
  | 'refreshBeforePoll'
  | 'refreshAfterEndpointLogout'
  | 'newLogin'
  | 'operatorLogout'
  | 'accountDeletion'
  | 'block'

/** A row of the table: the outcome of a flow in each place, for some of the variants. */
interface Row {
  /** A number such as `³` refers to a note below the table. */
  title: string
  flow: FlowName
  variants: readonly Variant[]
  cells: Record<Place, Cell>
}

const WITH_ACTION = ['noFields', 'methods', 'enterprise'] as const
/** The variants in which the Action does not learn the time of the login at an exchange. */
const WITHOUT_LOGIN_TIME = ['noAction', 'noFields'] as const
/** The variants in which the Action learns the time of the login at an exchange. */
const WITH_LOGIN_TIME = ['methods', 'enterprise'] as const

const inEveryPlace = (cell: Cell): Row['cells'] => ({
  api: cell,
  live: cell,
  gateway: cell,
  cookie: cell,
})
/** With the policy `session`, the logout does not concern the access. With the policy `user`, the logout ends it. */
const closedByUserPolicy = (closed: PlaceOutcome) =>
  ({ session: 'unaffected', user: closed }) as const
/** With both policies, the logout ends the access, although the policy `session` should not. */
const wronglyRefused = (closed: PlaceOutcome) =>
  ({ session: 'wrongly refused', user: closed }) as const

/** At first, a user is logged in on the browsers A and B. */
export const ROWS: Row[] = [
  {
    title: 'A logs out: A',
    flow: 'logoutOfA',
    variants: VARIANTS,
    cells: inEveryPlace('closed after the poll'),
  },
  {
    title: 'A logs out: B, no Action',
    flow: 'logoutOfAForB',
    variants: ['noAction'],
    // The access token names no session, but an ID token always does.
    cells: {
      ...inEveryPlace(wronglyRefused('closed after the poll')),
      cookie: closedByUserPolicy('closed after the poll'),
    },
  },
  {
    title: 'A logs out: B, Action',
    flow: 'logoutOfAForB',
    variants: WITH_ACTION,
    cells: inEveryPlace(closedByUserPolicy('closed after the poll')),
  },
  {
    title: 'A logs out through `/logout`: A',
    flow: 'endpointLogoutOfA',
    variants: VARIANTS,
    cells: inEveryPlace('closed at once'),
  },
  {
    title: 'A logs out through `/logout`: B, no Action',
    flow: 'endpointLogoutOfAForB',
    variants: ['noAction'],
    cells: {
      ...inEveryPlace(wronglyRefused('closed at once')),
      cookie: closedByUserPolicy('closed at once'),
    },
  },
  {
    title: 'A logs out through `/logout`: B, Action',
    flow: 'endpointLogoutOfAForB',
    variants: WITH_ACTION,
    cells: inEveryPlace(closedByUserPolicy('closed at once')),
  },
  {
    title: 'A logs out, and refreshes before the poll: no Action, or no fields',
    flow: 'refreshBeforePoll',
    variants: WITHOUT_LOGIN_TIME,
    cells: { ...inEveryPlace('open until `exp`'), cookie: 'closed after the poll' },
  },
  {
    title: 'A logs out, and refreshes before the poll: `methods`, or Enterprise fields',
    flow: 'refreshBeforePoll',
    variants: WITH_LOGIN_TIME,
    cells: inEveryPlace('closed after the poll'),
  },
  {
    title: 'A logs out through `/logout`, and refreshes: no Action, or no fields',
    flow: 'refreshAfterEndpointLogout',
    variants: WITHOUT_LOGIN_TIME,
    cells: { ...inEveryPlace('open until `exp`'), cookie: 'closed at once' },
  },
  {
    title: 'A logs out through `/logout`, and refreshes: `methods`, or Enterprise fields',
    flow: 'refreshAfterEndpointLogout',
    variants: WITH_LOGIN_TIME,
    cells: inEveryPlace('closed at once'),
  },
  {
    title: 'new login on A after either logout',
    flow: 'newLogin',
    variants: VARIANTS,
    cells: inEveryPlace('unaffected'),
  },
  {
    title: 'operator’s logout',
    flow: 'operatorLogout',
    variants: VARIANTS,
    cells: inEveryPlace('closed at once'),
  },
  {
    title: 'account deleted ³',
    flow: 'accountDeletion',
    variants: VARIANTS,
    cells: { ...inEveryPlace('open until `exp`'), cookie: 'open until the session expires' },
  },
  {
    title: 'user blocked ³',
    flow: 'block',
    variants: VARIANTS,
    cells: { ...inEveryPlace('open until `exp`'), cookie: 'open until the session expires' },
  },
]

/** Returns the outcome of a cell under a policy. */
export const outcomeOf = (cell: Cell, policy: Policy) =>
  typeof cell === 'object' ? cell[policy] : cell
/** Returns whether an outcome is that of access that should end. */
export const shouldAccessEnd = (outcome: PlaceOutcome) =>
  outcome !== 'unaffected' && outcome !== 'wrongly refused'

/** Returns the table of docs/login-action.md. */
export function renderPlaces(): string {
  const describeCell = (cell: Cell) => {
    const [session, user] = [outcomeOf(cell, 'session'), outcomeOf(cell, 'user')]
    return session === user ? session : `${session} / ${user}`
  }
  const places = Object.keys(PLACES) as Place[]
  const rows = ROWS.map(({ title, cells }) => [
    title,
    ...places.map((place) => describeCell(cells[place])),
  ])
  return renderTable([['', ...Object.values(PLACES)], ...rows])
}
