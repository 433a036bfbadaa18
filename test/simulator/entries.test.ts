import { describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { start } from './start.js'

// Types of entries: https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes. For example, `slo` is a logout.
describe('buildEntry', () => {
  test('buildEntry builds a logout with the fields that Auth0 returns', async () => {
    const { tenant, logs } = await start()
    tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))
    const [entry] = (await (await logs('?from=900')).json()) as [{ details: object }]
    const fields = [
      '_id',
      'client_id',
      'client_name',
      'connection',
      'connection_id',
      'date',
      'details',
      'hostname',
      'ip',
      'isMobile',
      'log_id',
      'type',
      'user_agent',
      'user_id',
      'user_name',
    ]
    expect(Object.keys(entry).sort()).toEqual(fields)
    expect(Object.keys(entry.details)).toEqual(['return_to', 'allowed_logout_url', 'session_id'])
    expect(entry).toMatchObject({ user_id: 'auth0|1', details: { session_id: 'S1' } })
  })

  test('buildEntry builds a logout without a session if no session is given', () => {
    expect(buildEntry('slo').details).not.toHaveProperty('session_id')
  })

  test('buildEntry builds an exchange of client credentials (seccft) with explicit nulls', () => {
    expect(buildEntry('seccft')).toMatchObject({
      connection: null,
      details: null,
      organization_id: null,
      strategy: null,
      user_id: '',
    })
  })

  test('buildEntry builds a universal logout without session and client', () => {
    const entry = buildEntry('universal_logout_succeeded', { userId: 'auth0|1', sessionId: 'S1' })
    expect(entry).toMatchObject({ user_id: 'auth0|1', details: null })
    expect(entry).not.toHaveProperty('client_id')
  })

  test('buildEntry builds a deletion of a user (sdu) with the user id only in the description, as in recorded entries', () => {
    const entry = buildEntry('sdu', { userId: 'auth0|1' })
    expect(entry).toMatchObject({ description: 'user_id: 1', user_id: '', user_name: '' })
    expect(entry).not.toHaveProperty('client_id')
    expect(entry).not.toHaveProperty('hostname')
  })

  test.each([
    ['an exchange of an authorization code', 'seacft'],
    ['an exchange of a refresh token', 'sertft'],
  ])('buildEntry adds the session of the refresh token to %s (%s)', (_case, type) => {
    const { details } = buildEntry(type, { sessionId: 'S1' })
    expect(details).toMatchObject({ refresh_token: { session_id: 'S1' } })
  })

  test.each([
    ['a login', 's'],
    ['a silent login', 'ssa'],
  ])('buildEntry adds the session to %s (%s)', (_case, type) => {
    expect(buildEntry(type, { sessionId: 'S1' }).details).toMatchObject({ session_id: 'S1' })
  })

  test.each([
    's',
    'ssa',
    'fs',
    'seacft',
    'sertft',
    'seccft',
    'slo',
    'flo',
    'universal_logout_succeeded',
    'oidc_backchannel_logout_succeeded',
    'sapi',
    'scp',
    'session_revoked',
  ])('buildEntry builds an entry of type %s', (type) => {
    expect(buildEntry(type)).toHaveProperty('type', type)
  })

  test('buildEntry replaces fields by overrides, and removes fields whose override is undefined', () => {
    const entry = buildEntry('slo', {}, { user_id: undefined, user_name: null, extra: 1 })
    expect(entry).not.toHaveProperty('user_id')
    expect(entry).toMatchObject({ user_name: null, extra: 1 })
  })
})
