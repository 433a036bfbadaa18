import type { LogEntry } from './tenant.js'

/** The user, the client and the session of an entry. Every field has a default. */
export interface EntrySubject {
  /** The tenant's domain, which is the `hostname` of the entry. */
  domain?: string
  userId?: string
  userName?: string
  /** Default: the entry has no session. */
  sessionId?: string
  clientId?: string
  clientName?: string
  connection?: string
  ip?: string
  userAgent?: string
}

type Subject = Required<Omit<EntrySubject, 'sessionId'>> & { session: { session_id?: string } }

const DEFAULTS = {
  domain: 'acme.example.com',
  userId: 'auth0|6500000000000000000000a1',
  userName: 'nia@example.com',
  clientId: 'OrderDeskWebClient00000000000001',
  clientName: 'Order desk',
  connection: 'Username-Password-Authentication',
  ip: '203.0.113.7',
  userAgent: 'Firefox 131.0.0 / Ubuntu 0.0.0',
}

const APP_URL = 'https://orders.example.com'
const CONNECTION_ID = 'con_SimulatedUsers01'
const machineFields = (ip: string) => ({ ip, user_agent: 'Other 0.0.0 / Other 0.0.0' })

/**
 * Builds an entry of this type as the Logs API returns it, but without `date`, `log_id` and `_id`. {@link Tenant.write}
 * adds these three fields. An entry of a type that is not in `SHAPES` has the fields of an account change.
 *
 * @param overrides Fields that replace fields of the entry. A field with the value `undefined` is removed.
 * @see https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes
 */
export function buildEntry(
  type: string,
  subject: EntrySubject = {},
  overrides: LogEntry = {},
): LogEntry {
  const { sessionId, ...fields } = subject
  const session = sessionId === undefined ? {} : { session_id: sessionId }
  const shape = (Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined) ?? accountChangeEntry
  const entry: LogEntry = { type, ...shape({ ...DEFAULTS, ...fields, session }), isMobile: false }
  for (const [field, value] of Object.entries(overrides)) {
    if (value === undefined) delete entry[field]
    else entry[field] = value
  }
  return entry
}

const SHAPES: Readonly<Record<string, (subject: Subject) => LogEntry>> = {
  s: (subject) => ({
    ...connectionFields(subject),
    ...clientFields(subject),
    details: { ...loginDetails(subject), stats: { loginsCount: 7 } },
    ...hostAndUserFields(subject),
    ...DATABASE,
  }),
  ssa: (subject) => ({
    description: '',
    ...clientFields(subject),
    details: loginDetails(subject),
    ...hostAndUserFields(subject),
    session_connection: subject.connection,
  }),
  fs: (subject) => ({
    description: 'The user already exists.',
    ...connectionFields(subject),
    ...clientFields(subject),
    details: { body: { email: subject.userName, password: '*****' } },
    ...hostAndUserFields({ ...subject, userId: '' }),
    ...DATABASE,
  }),
  seacft: (subject) => ({
    description: 'Authorization Code for Access Token',
    connection_id: '',
    ...clientFields(subject),
    details: { code: `${'*'.repeat(42)}k7Q`, refresh_token: subject.session },
    ...hostAndUserFields(subject),
  }),
  sertft: (subject) => ({
    description: '',
    connection_id: '',
    ...clientFields(subject),
    details: { familyId: 'fam_000000000001', tokenCounter: 3, refresh_token: subject.session },
    ...hostAndUserFields(subject),
    audience: APP_URL,
    scope: 'openid profile offline_access',
  }),
  seccft: ({ clientId, clientName, ip, domain }) => ({
    description: '',
    connection: null,
    connection_id: '',
    organization_id: null,
    organization_name: null,
    client_id: clientId,
    client_name: clientName,
    ...machineFields(ip),
    hostname: domain,
    details: null,
    user_id: '',
    user_name: '',
    audience: APP_URL,
    scope: 'read:orders',
    strategy: null,
    strategy_type: null,
    location_info: null,
  }),
  slo: logoutEntry,
  flo: (subject) => ({
    ...logoutEntry(subject),
    description:
      'The "returnTo" querystring parameter "https://elsewhere.example.com" is not allowed',
  }),
  universal_logout_succeeded: (subject) => ({
    description: '',
    ...connectionFields(subject),
    ...machineFields(subject.ip),
    details: null,
    ...userFields(subject),
  }),
  oidc_backchannel_logout_succeeded: (subject) => ({
    description: '',
    client_id: subject.clientId,
    client_name: subject.clientName,
    details: { initiator: 'password-changed' },
    ...userFields(subject),
  }),
  // As in recorded entries, only the description contains the user id, without the part before `|`.
  sdu: (subject) => ({
    description: `user_id: ${subject.userId.slice(subject.userId.indexOf('|') + 1)}`,
    ...connectionFields(subject),
    ...machineFields(subject.ip),
    details: { body: { tenant: 'acme', connection: subject.connection } },
    ...userFields({ ...subject, userId: '', userName: '' }),
    ...DATABASE,
  }),
  sapi: (subject) => ({
    description: 'Update a User',
    ...clientFields(subject),
    details: { request: { method: 'patch', path: '/api/v2/users/auth0%7C42', body: {} } },
    ...hostAndUserFields(subject),
  }),
}

const DATABASE = { strategy: 'auth0', strategy_type: 'database' }

function logoutEntry(subject: Subject): LogEntry {
  return {
    ...connectionFields(subject),
    ...clientFields(subject),
    details: { return_to: APP_URL, allowed_logout_url: [APP_URL], ...subject.session },
    ...hostAndUserFields(subject),
  }
}

function accountChangeEntry(subject: Subject): LogEntry {
  return {
    description: '',
    ...connectionFields(subject),
    ...clientFields(subject),
    details: { title: 'Change of the account', email: subject.userName, ...subject.session },
    ...hostAndUserFields(subject),
    ...DATABASE,
  }
}

function connectionFields({ connection }: Subject): LogEntry {
  return { connection, connection_id: CONNECTION_ID }
}

function clientFields({ clientId, clientName, ip, userAgent }: Subject): LogEntry {
  return { client_id: clientId, client_name: clientName, ip, user_agent: userAgent }
}

function hostAndUserFields(subject: Subject): LogEntry {
  return { hostname: subject.domain, ...userFields(subject) }
}

function userFields({ userId, userName }: Subject): LogEntry {
  return { user_id: userId, user_name: userName }
}

function loginDetails({ session }: Subject): LogEntry {
  return {
    prompts: [{ name: 'prompt-authenticate', elapsedTime: 400 }],
    initiatedAt: 1767225600000,
    completedAt: 1767225600450,
    elapsedTime: 450,
    ...session,
  }
}
