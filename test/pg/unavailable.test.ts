import pg from 'pg'
import { expect, test } from 'vitest'
import { unavailableError } from '../../src/pg/unavailable.js'

test.each([
  ['28P01', /refused the connection \(SQLSTATE 28P01\): check the user and the password/],
  ['3D000', /refused the connection .*: check the name of the database/],
  ['25006', /is unavailable \(SQLSTATE 25006\): the server is read-only/],
  ['53100', /is unavailable .*: the disk is full/],
  ['53300', /is unavailable .*: all connections are in use/],
  ['57P01', /is unavailable .*: see the PostgreSQL log/],
])(
  'unavailableError returns an error whose message says what to do for SQLSTATE %s',
  (code, message) => {
    const error = Object.assign(new pg.DatabaseError('no', 2, 'error'), { code })
    expect(unavailableError(error)).toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(message),
    })
  },
)
