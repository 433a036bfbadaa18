import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readEntry } from '../../src/rules/entry.js'
import { DEFAULT_TYPES, OPTIONAL_TYPES, refuseType } from '../../src/rules/event-types.js'

const defaults = new Set<string>(DEFAULT_TYPES)
const everything = new Set<string>([...DEFAULT_TYPES, ...OPTIONAL_TYPES])

// A logout that happened at 10:00:00.123, and was stored at 10:00:03.400.
const logId = '90020261123100003400123000000000000001223372037868840734'
const date = '2026-11-23T10:00:00.123Z'
const happenedAt = 1_795_428_000_123
const storedAt = 1_795_428_003_400
const slo = { log_id: logId, date, type: 'slo', user_id: 'auth0|1', details: { session_id: 'S1' } }
const event = { logId, type: 'slo', at: happenedAt, userId: 'auth0|1', sessionId: 'S1' }

describe('an entry ends', () => {
  test.each([
    ['its session, when it names one', slo, event],
    [
      'all sessions of the user if it has no session id',
      { ...slo, details: { return_to: 'https://app.example.com' } },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if its details are null',
      { ...slo, details: null },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if it has no details',
      { ...slo, details: undefined },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is null (P27)',
      { ...slo, details: { session_id: null } },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is empty',
      { ...slo, details: { session_id: '' } },
      { ...event, sessionId: null },
    ],
    [
      'all sessions of the user if the session id is a number',
      { ...slo, details: { session_id: 7 } },
      { ...event, sessionId: null },
    ],
    [
      'only the session if the user id is null',
      { ...slo, user_id: null },
      { ...event, userId: null },
    ],
    [
      'only the session if the user id is empty',
      { ...slo, user_id: '' },
      { ...event, userId: null },
    ],
    [
      'only the session if it has no user id',
      { ...slo, user_id: undefined },
      { ...event, userId: null },
    ],
    [
      'only the session if the user id cannot be stored',
      { ...slo, user_id: 'a\0b' },
      { ...event, userId: null },
    ],
    [
      'only the session if the user id is too long',
      { ...slo, user_id: 'x'.repeat(801) },
      { ...event, userId: null },
    ],
    [
      'all sessions of the user for a universal logout',
      { ...slo, type: 'universal_logout_succeeded' },
      { ...event, type: 'universal_logout_succeeded', sessionId: null },
    ],
  ])('%s', (_what, entry, expected) => {
    expect(readEntry(entry, defaults)).toEqual({ kind: 'event', event: expected })
  })

  test('only the session for a configured session_revoked', () => {
    const entry = { ...slo, type: 'session_revoked' }
    expect(readEntry(entry, everything)).toMatchObject({ event: { sessionId: 'S1' } })
  })

  test.each(['scp', 'sce', 'scu', 'scpn'])(
    'all sessions of the user for a configured %s (P33)',
    (type) => {
      const entry = { ...slo, type }
      expect(readEntry(entry, everything)).toMatchObject({
        event: { type, sessionId: null },
      })
    },
  )
})

describe('back-channel logouts', () => {
  const backchannel = { ...slo, type: 'oidc_backchannel_logout_succeeded' }

  test.each(['password-changed', 'session-revoked', 'account-deleted', 'email-identifier-changed'])(
    'count if the initiator is %s (P33)',
    (initiator) => {
      const entry = { ...backchannel, details: { initiator } }
      expect(readEntry(entry, everything)).toMatchObject({ kind: 'event' })
    },
  )

  test.each(['rp-logout', 'idp-logout', 'session-expired', '', null, undefined, 5])(
    'do not count if the initiator is %j (P33)',
    (initiator) => {
      const entry = { ...backchannel, details: { initiator } }
      expect(readEntry(entry, everything)).toEqual({ kind: 'other' })
    },
  )
})

describe('the instant of a logout', () => {
  test.each([
    ['the date if the storage time is later', slo, happenedAt],
    [
      'the storage time if the date is later',
      { ...slo, date: '2026-11-23T10:00:03.401Z' },
      storedAt,
    ],
    [
      'the date or the storage time if both are the same',
      { ...slo, date: '2026-11-23T10:00:03.400Z' },
      storedAt,
    ],
    ['storage time, without a date', { ...slo, date: undefined }, storedAt],
    ['storage time, with a date that is none', { ...slo, date: 'yesterday' }, storedAt],
    ['storage time, with a date that is an object', { ...slo, date: {} }, storedAt],
    ['the date if the log id contains no time', { ...slo, log_id: 'placeholder' }, happenedAt],
    ['the date, without a log id', { ...slo, log_id: undefined }, happenedAt],
    [
      'the storage time of an id in the field _id',
      { ...slo, log_id: undefined, _id: logId, date: undefined },
      storedAt,
    ],
  ])('is %s', (_what, entry, at) => {
    expect(readEntry(entry, defaults)).toMatchObject({ kind: 'event', event: { at } })
  })
})

describe('an instant in the future', () => {
  const future = '90021501123100003400123000000000000001223372037868840734'

  test.each([
    ['a date gives way to storage time', { ...slo, date: '2150-11-23T10:00:00Z' }, storedAt],
    ['storage time gives way to the date', { ...slo, log_id: future }, happenedAt],
    [
      'is kept if there is no other: the store limits it to the clock of the database',
      { ...slo, log_id: 'x', date: '2150-11-23T10:00:00Z' },
      Date.UTC(2150, 10, 23, 10),
    ],
  ])('%s', (_what, entry, at) => {
    expect(readEntry(entry, defaults)).toMatchObject({ event: { at } })
  })
})

describe('an entry that cannot be used', () => {
  test.each([
    ['malformed', null],
    ['malformed', 'slo'],
    ['malformed', 5],
    ['malformed', []],
    ['malformed', {}],
    ['malformed', { ...slo, type: null }],
    ['malformed', { ...slo, type: ['slo'] }],
    ['no_subject', { ...slo, user_id: null, details: {} }],
    ['no_subject', { ...slo, user_id: '', details: null }],
    ['no_subject', { ...slo, user_id: '  ', details: { session_id: ' ' } }],
    ['no_subject', { ...slo, user_id: { id: 1 }, details: [] }],
    ['no_subject', { ...slo, type: 'universal_logout_succeeded', user_id: '\ud800', details: {} }],
    ['no_instant', { ...slo, date: null, log_id: 'placeholder' }],
    ['no_instant', { ...slo, date: undefined, log_id: undefined }],
  ])('is unattributable as %s: %j', (reason, entry) => {
    expect(readEntry(entry, defaults)).toEqual({ kind: 'unattributable', reason })
  })
})

describe('an entry is ignored if its type is', () => {
  test.each(['s', 'flo', 'fs', 'seacft', 'sapi', 'srrt', 'limit_wc', 'scp', 'SLO', ''])(
    '%j',
    (type) => {
      expect(readEntry({ ...slo, type }, defaults)).toEqual({ kind: 'other' })
    },
  )
})

describe('a configured type', () => {
  test.each([
    'flo',
    'scpr',
    'sapi',
    'srrt',
    'limit_wc',
    'limit_sul',
    'pwd_leak',
    'signup_pwd_leak',
  ])('%s is forbidden (P33)', (type) => expect(refuseType(type)).toBe('forbidden'))
  test.each(['sdu', 'xyz', ''])('%j is unknown', (type) => expect(refuseType(type)).toBe('unknown'))
  test.each([...everything])('%s is allowed', (type) => expect(refuseType(type)).toBeNull())
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
      expect(['event', 'unattributable', 'other']).toContain(readEntry(entry, everything).kind)
    }),
  )
})
