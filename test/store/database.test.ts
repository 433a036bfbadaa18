import pg from 'pg'
import { expect, test } from 'vitest'
import { unavailable } from '../../src/pg/unavailable.js'

test.each([
  ['28P01', /refuses the connection \(SQLSTATE 28P01\): check the user and the password/],
  ['3D000', /refuses the connection .*: check the name of the database/],
  ['25006', /cannot be used \(SQLSTATE 25006\): it takes no writes/],
  ['53100', /cannot be used .*: its disk is full/],
  ['53300', /cannot be used .*: it has no connection left/],
  ['57P01', /cannot be used .*: see its log/],
])('what PostgreSQL says by %s comes with what to do', (code, message) => {
  const error = Object.assign(new pg.DatabaseError('no', 2, 'error'), { code })
  expect(unavailable(error)).toMatchObject({
    code: 'DATABASE_UNAVAILABLE',
    message: expect.stringMatching(message),
  })
})
