import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readEntry } from '../../src/rules/entry.js'
import { DEFAULT_TYPES, findTypeProblem, OPTIONAL_TYPES } from '../../src/rules/event-types.js'
import { MAX_ID_LENGTH } from '../../src/rules/id.js'

const defaultTypes = new Set<string>(DEFAULT_TYPES)
const allTypes = new Set<string>([...DEFAULT_TYPES, ...OPTIONAL_TYPES])

// An entry of Auth0's log about a logout that happened at 10:00:00.123 (`date`). Auth0 stored the entry at 10:00:03.400:
// its log id contains this storage time. `sloEvent` is the logout that `readEntry` reads from `sloEntry`.
const logId = '90020261123100003400123000000000000001223372037868840734'
const date = '2026-11-23T10:00:00.123Z'
const happenedAt = Date.parse(date)
const storedAt = Date.parse('2026-11-23T10:00:03.400Z')
const sloEntry = {
  log_id: logId,
  date,
  type: 'slo',
  user_id: 'auth0|1',
  details: { session_id: 'S1' },
}
const sloEvent = { logId, type: 'slo', at: happenedAt, userId: 'auth0|1', sessionId: 'S1' }

describe('a logout entry', () => {
  test.each([
    ['only the session that it names', sloEntry, sloEvent],
    [
      'all sessions of the user if it has no session id',
      { ...sloEntry, details: { return_to: 'https://app.example.com' } },
      { ...sloEvent, sessionId: null },
    ],
    [
      'all sessions of the user if its details are null',
      { ...sloEntry, details: null },
      { ...sloEvent, sessionId: null },
    ],
    [
      'all sessions of the user if it has no details',
      { ...sloEntry, details: undefined },
      { ...sloEvent, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is null (pitfall 27)',
      { ...sloEntry, details: { session_id: null } },
      { ...sloEvent, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is empty',
      { ...sloEntry, details: { session_id: '' } },
      { ...sloEvent, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is a number',
      { ...sloEntry, details: { session_id: 7 } },
      { ...sloEvent, sessionId: null },
    ],
    [
      'only the session if the user id is null',
      { ...sloEntry, user_id: null },
      { ...sloEvent, userId: null },
    ],
    [
      'only the session if the user id is empty',
      { ...sloEntry, user_id: '' },
      { ...sloEvent, userId: null },
    ],
    [
      'only the session if it has no user id',
      { ...sloEntry, user_id: undefined },
      { ...sloEvent, userId: null },
    ],
    [
      'only the session if the user id contains a null character, which PostgreSQL cannot store',
      { ...sloEntry, user_id: 'a\0b' },
      { ...sloEvent, userId: null },
    ],
    [
      'only the session if the user id is too long',
      { ...sloEntry, user_id: 'x'.repeat(MAX_ID_LENGTH + 1) },
      { ...sloEvent, userId: null },
    ],
    [
      'all sessions of the user for a universal logout',
      { ...sloEntry, type: 'universal_logout_succeeded' },
      { ...sloEvent, type: 'universal_logout_succeeded', sessionId: null },
    ],
  ])('an entry ends %s', (_case, entry, expectedEvent) => {
    expect(readEntry(entry, defaultTypes)).toEqual({ kind: 'event', event: expectedEvent })
  })

  test('an entry of the optional type session_revoked ends only the session', () => {
    const entry = { ...sloEntry, type: 'session_revoked' }
    expect(readEntry(entry, allTypes)).toMatchObject({ event: { sessionId: 'S1' } })
  })

  // Successful changes of the password, the email address, the username and the phone number.
  test.each(['scp', 'sce', 'scu', 'scpn'])(
    'an entry of the optional type %s ends all sessions of the user (pitfall 33)',
    (type) => {
      const entry = { ...sloEntry, type }
      expect(readEntry(entry, allTypes)).toMatchObject({
        event: { type, sessionId: null },
      })
    },
  )
})

describe('back-channel logouts', () => {
  const backchannel = { ...sloEntry, type: 'oidc_backchannel_logout_succeeded' }

  test.each(['password-changed', 'session-revoked', 'account-deleted', 'email-identifier-changed'])(
    'a back-channel logout counts if the initiator is %s (pitfall 33)',
    (initiator) => {
      const entry = { ...backchannel, details: { initiator } }
      expect(readEntry(entry, allTypes)).toMatchObject({ kind: 'event' })
    },
  )

  test.each(['rp-logout', 'idp-logout', 'session-expired', '', null, undefined, 5])(
    'a back-channel logout does not count if the initiator is %j (pitfall 33)',
    (initiator) => {
      const entry = { ...backchannel, details: { initiator } }
      expect(readEntry(entry, allTypes)).toEqual({ kind: 'other' })
    },
  )
})

describe('the instant of a logout', () => {
  test.each([
    ['the date if the storage time is later', sloEntry, happenedAt],
    [
      'the storage time if the date is later',
      { ...sloEntry, date: '2026-11-23T10:00:03.401Z' },
      storedAt,
    ],
    [
      'the storage time if the date is the same instant',
      { ...sloEntry, date: '2026-11-23T10:00:03.400Z' },
      storedAt,
    ],
    ['the storage time if there is no date', { ...sloEntry, date: undefined }, storedAt],
    ['the storage time if the date is not a date', { ...sloEntry, date: 'yesterday' }, storedAt],
    ['the storage time if the date is an object', { ...sloEntry, date: {} }, storedAt],
    ['the date if the log id contains no time', { ...sloEntry, log_id: 'placeholder' }, happenedAt],
    ['the date if there is no log id', { ...sloEntry, log_id: undefined }, happenedAt],
    [
      'the storage time in the log id, even if the field of the log id is _id',
      { ...sloEntry, log_id: undefined, _id: logId, date: undefined },
      storedAt,
    ],
    [
      'the storage time if the date is in the future',
      { ...sloEntry, date: '2150-11-23T10:00:00Z' },
      storedAt,
    ],
    [
      'the date if the storage time is in the future',
      { ...sloEntry, log_id: '90021501123100003400123000000000000001223372037868840734' },
      happenedAt,
    ],
    [
      'a date in the future if there is no storage time',
      { ...sloEntry, log_id: 'placeholder', date: '2150-11-23T10:00:00Z' },
      Date.UTC(2150, 10, 23, 10),
    ],
  ])('the instant of a logout is %s', (_case, entry, at) => {
    expect(readEntry(entry, defaultTypes)).toMatchObject({ kind: 'event', event: { at } })
  })
})

describe('an entry that may be a logout but cannot be used', () => {
  test.each([
    ['malformed', null],
    ['malformed', 'slo'],
    ['malformed', 5],
    ['malformed', []],
    ['malformed', {}],
    ['malformed', { ...sloEntry, type: null }],
    ['malformed', { ...sloEntry, type: ['slo'] }],
    ['no_subject', { ...sloEntry, user_id: null, details: {} }],
    ['no_subject', { ...sloEntry, user_id: '', details: null }],
    ['no_subject', { ...sloEntry, user_id: '  ', details: { session_id: ' ' } }],
    ['no_subject', { ...sloEntry, user_id: { id: 1 }, details: [] }],
    [
      'no_subject',
      { ...sloEntry, type: 'universal_logout_succeeded', user_id: '\ud800', details: {} },
    ],
    ['no_instant', { ...sloEntry, date: null, log_id: 'placeholder' }],
    ['no_instant', { ...sloEntry, date: undefined, log_id: undefined }],
  ])('readEntry returns `unattributable` with the reason %s for %j', (reason, entry) => {
    expect(readEntry(entry, defaultTypes)).toEqual({ kind: 'unattributable', reason })
  })
})

describe('an entry of a type that is not a logout type', () => {
  test.each(['s', 'flo', 'fs', 'seacft', 'sapi', 'srrt', 'limit_wc', 'scp', 'SLO', ''])(
    'readEntry returns `other` for an entry of the type %j',
    (type) => {
      expect(readEntry({ ...sloEntry, type }, defaultTypes)).toEqual({ kind: 'other' })
    },
  )
})

describe('a type in EVENT_TYPES', () => {
  test.each([
    'flo',
    'scpr',
    'sapi',
    'srrt',
    'limit_wc',
    'limit_sul',
    'pwd_leak',
    'signup_pwd_leak',
  ])('findTypeProblem returns `forbidden` for the type %s (pitfall 33)', (type) =>
    expect(findTypeProblem(type)).toBe('forbidden'),
  )
  test.each(['sdu', 'xyz', ''])('findTypeProblem returns `unknown` for the type %j', (type) =>
    expect(findTypeProblem(type)).toBe('unknown'),
  )
  test.each([...allTypes])('findTypeProblem returns null for the logout type %s', (type) =>
    expect(findTypeProblem(type)).toBeNull(),
  )
})

test('readEntry never throws', () => {
  const field = fc.option(fc.oneof(fc.string(), fc.anything()), { nil: undefined })
  const entries = fc.record({
    type: fc.constantFrom('slo', 'universal_logout_succeeded', 's'),
    log_id: field,
    date: field,
    user_id: field,
    details: fc.oneof(field, fc.record({ session_id: field })),
  })
  fc.assert(
    fc.property(fc.oneof(entries, fc.anything()), (entry) => {
      expect(['event', 'unattributable', 'other']).toContain(readEntry(entry, allTypes).kind)
    }),
  )
})
