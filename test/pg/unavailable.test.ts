import pg from 'pg'
import { expect, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'
import { isDriverOutage, unavailableError } from '../../src/pg/unavailable.js'

/** Creates an error that the server sends with this SQLSTATE. */
const serverError = (code: string) =>
  Object.assign(new pg.DatabaseError('a message', 9, 'error'), { code })

test.each([
  ['28P01', /refused the connection \(SQLSTATE 28P01\): check the user and the password/],
  ['3D000', /refused the connection .*: check the name of the database/],
  ['25P04', /is unavailable \(SQLSTATE 25P04\): .*transaction_timeout/],
  ['25006', /is unavailable \(SQLSTATE 25006\): the server is read-only/],
  ['53100', /is unavailable .*: the disk is full/],
  ['53300', /is unavailable .*: all connections are in use/],
  ['57P03', /is unavailable .*: the server is starting, recovering or stopping; try again/],
  ['57P01', /is unavailable .*: see the PostgreSQL log/],
])('the message of unavailableError contains advice for SQLSTATE %s', (code, message) => {
  expect(unavailableError(serverError(code))).toMatchObject({
    code: 'DATABASE_UNAVAILABLE',
    message: expect.stringMatching(message),
  })
})

test('the message of unavailableError for a timeout of the driver does not advise to check that the server runs', () => {
  expect(unavailableError(new Error('Query read timeout')).message).toMatch(
    /did not respond to a query in time .*: find long transactions and locks/,
  )
})

test('isDriverOutage returns true if the server ends the session because of transaction_timeout', () => {
  expect(isDriverOutage(serverError('25P04'))).toBe(true)
})

test.each(['127.0.0.1', 'localhost'])(
  'isDriverOutage returns true if no server listens on %s',
  async (host) => {
    const { pool } = createPool(`postgresql://${host}:1/x`, {})
    const error = await pool.query('SELECT 1').catch((error) => error)
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
    expect(isDriverOutage(error)).toBe(true)
    await pool.end()
  },
)

test('isDriverOutage returns true for a timeout of the driver and for a query on an ended pool', async () => {
  const { pool } = createPool('postgresql://127.0.0.1:1/x', {})
  await pool.end()
  const error = await pool.query('SELECT 1').catch((error) => error)
  expect(isDriverOutage(error)).toBe(true)
  expect(isDriverOutage(new Error('Query read timeout'))).toBe(true)
})

test('isDriverOutage returns true if TLS fails, and if the connections to all addresses of a host fail', () => {
  class SystemError extends Error {}
  const tlsError = Object.assign(new SystemError('no'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  expect(isDriverOutage(tlsError)).toBe(true)
  expect(isDriverOutage(new AggregateError([], 'connect ECONNREFUSED'))).toBe(true)
})

test('isDriverOutage returns false for programming errors, and for statements that the server refuses', () => {
  // SQLSTATE 22P05: a character of the statement has no equivalent in the database's encoding.
  const refusedStatement = serverError('22P05')
  const objectWithoutClass = { code: '57P01' }
  for (const error of [new TypeError('x is undefined'), refusedStatement, objectWithoutClass]) {
    expect(isDriverOutage(error)).toBe(false)
  }
})
