import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { lastLogoutSchema } from '../../src/http/last-logout.js'
import { errorResponses } from '../../src/http/schemas.js'
import { createSerializerCompiler } from '../../src/http/serializer.js'
import { changeSchema } from '../../src/http/wire-change.js'

const compile = createSerializerCompiler()
const serializerOf = (schema: z.ZodType) => compile({ schema, method: 'GET', url: '/' })

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 80 }), fc.string({ unit: 'grapheme' }))
const instant = fc.constantFrom('2026-11-23T12:00:00.000Z', '+010000-01-01T00:00:00.000Z')
const nullableInstant = fc.option(instant)
const logout = { at: instant, type: text }

const lastLogout = fc.record({
  // The order of the fields differs from that of the schema, and a field is not in the schema.
  complete: fc.boolean(),
  internal: text,
  user_id: text,
  last_logout_at: nullableInstant,
  last_logout: fc.option(fc.integer({ min: -1e15, max: 1e15 }).map((ms) => ms / 1000)),
  all_sessions_at: nullableInstant,
  session: fc.option(
    fc.record({ session_id: text, logout_at: nullableInstant, ended: fc.boolean() }),
  ),
  floor_at: nullableInstant,
  policy: fc.constantFrom('session', 'user'),
  as_of: nullableInstant,
  lag_ms: fc.option(fc.maxSafeInteger()),
})
const user = { all_sessions_at: nullableInstant, ...logout }
const session = { ended: fc.boolean(), ...logout }
const change = fc.oneof(
  fc.record({ kind: fc.constant('user'), user_id: text, ...user }),
  fc.record({
    kind: fc.constant('session'),
    session_id: text,
    user_id: fc.option(text),
    ...session,
  }),
  fc.record({ kind: fc.constant('floor'), at: instant }),
  fc.record({ kind: fc.constant('forgotten_user'), key: text, user_hash: text, ...user }),
  fc.record({
    kind: fc.constant('forgotten_session'),
    key: text,
    session_hash: text,
    user_hash: fc.option(text),
    ...session,
  }),
)
const error = fc.record({ statusCode: fc.nat(), error: text, message: text })

test.each<[name: string, z.ZodType, fc.Arbitrary<unknown>]>([
  ['a last logout', lastLogoutSchema, lastLogout],
  [
    'changes',
    z.object({ changes: z.array(changeSchema) }),
    fc.record({ changes: fc.array(change) }),
  ],
  ['an error', errorResponses[400], error],
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
