import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { lastLogoutSchema } from '../../src/http/last-logout.js'
import { errorResponses } from '../../src/http/schemas.js'
import { createSerializerCompiler } from '../../src/http/serializer.js'
import { changeSchema } from '../../src/http/wire-change.js'

const compile = createSerializerCompiler()
const serializerOf = (schema: z.ZodType) => compile({ schema, method: 'GET', url: '/' })

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: 'grapheme' }),
)
const anyInstant = fc.constantFrom('2026-11-23T12:00:00.000Z', '+010000-01-01T00:00:00.000Z')
const anyNullableInstant = fc.option(anyInstant)
const logoutFields = { at: anyInstant, type: anyText }

const anyLastLogout = fc.record({
  // The order of the fields differs from that of the schema, and a field is not in the schema.
  complete: fc.boolean(),
  internal: anyText,
  user_id: anyText,
  last_logout_at: anyNullableInstant,
  last_logout: fc.option(fc.integer({ min: -1e15, max: 1e15 }).map((ms) => ms / 1000)),
  all_sessions_at: anyNullableInstant,
  session: fc.option(
    fc.record({ session_id: anyText, logout_at: anyNullableInstant, ended: fc.boolean() }),
  ),
  floor_at: anyNullableInstant,
  policy: fc.constantFrom('session', 'user'),
  as_of: anyNullableInstant,
  lag_ms: fc.option(fc.maxSafeInteger()),
})
const userFields = { all_sessions_at: anyNullableInstant, ...logoutFields }
const sessionFields = { ended: fc.boolean(), ...logoutFields }
const anyChange = fc.oneof(
  fc.record({ kind: fc.constant('user'), user_id: anyText, ...userFields }),
  fc.record({
    kind: fc.constant('session'),
    session_id: anyText,
    user_id: fc.option(anyText),
    ...sessionFields,
  }),
  fc.record({ kind: fc.constant('floor'), at: anyInstant }),
  fc.record({
    kind: fc.constant('forgotten_user'),
    key: anyText,
    user_hash: anyText,
    ...userFields,
  }),
  fc.record({
    kind: fc.constant('forgotten_session'),
    key: anyText,
    session_hash: anyText,
    user_hash: fc.option(anyText),
    ...sessionFields,
  }),
)
const anyError = fc.record({ statusCode: fc.nat(), error: anyText, message: anyText })

test.each<[name: string, z.ZodType, fc.Arbitrary<unknown>]>([
  ['a last logout', lastLogoutSchema, anyLastLogout],
  [
    'changes',
    z.object({ changes: z.array(changeSchema) }),
    fc.record({ changes: fc.array(anyChange) }),
  ],
  ['an error', errorResponses[400], anyError],
])(
  'the serializer produces the same JSON for %s as JSON.stringify after a validation',
  (_case, schema, response) => {
    const serialize = serializerOf(schema)
    fc.assert(
      fc.property(response, (value) => {
        expect(serialize(value)).toBe(JSON.stringify(schema.parse(value)))
      }),
      { numRuns: 1_000 },
    )
  },
)

test('the serializer throws if a response lacks a required field', () => {
  expect(() => serializerOf(errorResponses[400])({ statusCode: 400, error: 'x' })).toThrow(
    '"message" is required',
  )
})
