import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readEntry } from '../../src/rules/entry.js'
import { DEFAULT_TYPES, findTypeProblem, OPTIONAL_TYPES } from '../../src/rules/event-types.js'

const defaultTypes = new Set<string>(DEFAULT_TYPES)
const allTypes = new Set<string>([...DEFAULT_TYPES, ...OPTIONAL_TYPES])

// A logout that happened at 10:00:00.123, and was stored at 10:00:03.400.
const logId = '90020261123100003400123000000000000001223372037868840734'
const date = '2026-11-23T10:00:00.123Z'
const happenedAt = 1_795_428_000_123
const storedAt = 1_795_428_003_400
const sloEntry = {
  log_id: logId,
  date,
  type: 'slo',
  user_id: 'auth0|1',
  details: { session_id: 'S1' },
}
const event = { logId, type: 'slo', at: happenedAt, userId: 'auth0|1', sessionId: 'S1' }

describe('a logout entry', () => {
  test.each([
    ['only the session that it names', sloEntry, event],
    [
      'all sessions of the user if it has no session id',
      { ...sloEntry, details: { return_to: 'https://app.example.com' } },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if its details are null',
      { ...sloEntry, details: null },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if it has no details',
      { ...sloEntry, details: undefined },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is null (pitfall 27)',
      { ...sloEntry, details: { session_id: null } },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is empty',
      { ...sloEntry, details: { session_id: '' } },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is a number',
      { ...sloEntry, details: { session_id: 7 } },
      { ...event, sessionId: null },
    ],
    [
      'only the session if the user id is null',
      { ...sloEntry, user_id: null },
      { ...event, userId: null },
    ],
    [
      'only the session if the user id is empty',
      { ...sloEntry, user_id: '' },
      { ...event, userId: null },
    ],
    [
      'only the session if it has no user id',
      { ...sloEntry, user_id: undefined },
      { ...event, userId: null },
    ],
    [
      'only the session if the user id cannot be stored',
      { ...sloEntry, user_id: 'a\0b' },
      { ...event, userId: null },
    ],
    [
      'only the session if the user id is too long',
      { ...sloEntry, user_id: 'x'.repeat(801) },
      { ...event, userId: null },
    ],
    [
      'all sessions of the user for a universal logout',
      { ...sloEntry, type: 'universal_logout_succeeded' },
      { ...event, type: 'universal_logout_succeeded', sessionId: null },
    ],
  ])('an entry ends %s', (_case, entry, expected) => {
    expect(readEntry(entry, defaultTypes)).toEqual({ kind: 'event', event: expected })
  })

  test('an entry of the type session_revoked, if it is configured, ends only the session', () => {
    const entry = { ...sloEntry, type: 'session_revoked' }
    expect(readEntry(entry, allTypes)).toMatchObject({ event: { sessionId: 'S1' } })
  })

  test.each(['scp', 'sce', 'scu', 'scpn'])(
    'an entry of the type %s, if it is configured, ends all sessions of the user (pitfall 33)',
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
      'the date or the storage time if both are the same',
      { ...sloEntry, date: '2026-11-23T10:00:03.400Z' },
      storedAt,
    ],
    ['the storage time if there is no date', { ...sloEntry, date: undefined }, storedAt],
    ['the storage time if the date is not a date', { ...sloEntry, date: 'yesterday' }, storedAt],
    ['the storage time if the date is an object', { ...sloEntry, date: {} }, storedAt],
    ['the date if the log id contains no time', { ...sloEntry, log_id: 'placeholder' }, happenedAt],
    ['the date if there is no log id', { ...sloEntry, log_id: undefined }, happenedAt],
    [
      'the storage time of an id in the field _id',
      { ...sloEntry, log_id: undefined, _id: logId, date: undefined },
      storedAt,
    ],
  ])('the instant of a logout is %s', (_case, entry, at) => {
    expect(readEntry(entry, defaultTypes)).toMatchObject({ kind: 'event', event: { at } })
  })
})

describe('an instant in the future', () => {
  const future = '90021501123100003400123000000000000001223372037868840734'

  test.each([
    [
      'the storage time is used if the date is in the future',
      { ...sloEntry, date: '2150-11-23T10:00:00Z' },
      storedAt,
    ],
    [
      'the date is used if the storage time is in the future',
      { ...sloEntry, log_id: future },
      happenedAt,
    ],
    [
      'an instant in the future is used if there is no other instant',
      { ...sloEntry, log_id: 'x', date: '2150-11-23T10:00:00Z' },
      Date.UTC(2150, 10, 23, 10),
    ],
  ])('%s', (_case, entry, at) => {
    expect(readEntry(entry, defaultTypes)).toMatchObject({ event: { at } })
  })
})

describe('an entry that cannot be used', () => {
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
  ])('readEntry returns the reason %s for %j', (reason, entry) => {
    expect(readEntry(entry, defaultTypes)).toEqual({ kind: 'unattributable', reason })
  })
})

describe('an entry of another type', () => {
  test.each(['s', 'flo', 'fs', 'seacft', 'sapi', 'srrt', 'limit_wc', 'scp', 'SLO', ''])(
    'an entry is ignored if its type is %j',
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
  ])('the type %s is forbidden (pitfall 33)', (type) =>
    expect(findTypeProblem(type)).toBe('forbidden'),
  )
  test.each(['sdu', 'xyz', ''])('the type %j is unknown', (type) =>
    expect(findTypeProblem(type)).toBe('unknown'),
  )
  test.each([...allTypes])('the type %s is allowed', (type) =>
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
