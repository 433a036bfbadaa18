import { Writable } from 'node:stream'
import pg from 'pg'
import { expect, test } from 'vitest'
import { LastLogoutError } from '../src/errors.js'
import { createLog } from '../src/log.js'
import { createTestDatabase } from './_support/database.js'

/** Calls `writeLines` with a log. Returns the text that the log writes to its stream, which can be a terminal. */
async function captureText(
  writeLines: (log: Awaited<ReturnType<typeof createLog>>) => void,
  { isTTY = false } = {},
): Promise<string> {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  writeLines(await createLog('debug', Object.assign(stream, { isTTY })))
  return text
}

test('a log line contains the code, the message and the cause of an error', async () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const err = new LastLogoutError('AUTH0_UNAVAILABLE', 'cannot be reached', { cause })
  const line = JSON.parse(await captureText((log) => log.error({ err }, 'poll failed')))
  expect(line).toMatchObject({
    msg: 'poll failed',
    err: {
      code: 'AUTH0_UNAVAILABLE',
      message: 'cannot be reached',
      cause: { code: 'ECONNREFUSED' },
    },
  })
})

test('a log line with the headers of a request contains no key, no token and no cookie', async () => {
  const headers = { authorization: 'secret', cookie: 'secret', 'x-last-logout-key': 'secret' }
  const text = await captureText((log) =>
    log.child({ part: 'api' }).warn({ headers, req: { headers } }),
  )
  expect(text).toContain('x-last-logout-key')
  expect(text).not.toContain('secret')
})

test('the log writes an error whose cause is the error itself', async () => {
  const err = new Error('circular')
  err.cause = err
  expect(await captureText((log) => log.error({ err }))).toContain('circular')
})

test('a log line of an error of the PostgreSQL driver contains the code, and not the password of the connection', async () => {
  const database = await createTestDatabase()
  const pool = new pg.Pool({ connectionString: database.url })
  const connectionError = new Promise<unknown>((resolve) => pool.once('error', resolve))
  await pool.query('SELECT 1')
  // Terminates the connection of the pool, which then emits an error.
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  )
  const err = await connectionError
  const { password } = new URL(database.url)
  // The error contains the password, as a property of the connection `client`.
  expect((err as { client?: { password: string } }).client?.password).toBe(password)
  const text = await captureText((log) => log.error({ err }, 'idle connection lost'))
  // 57P01 is PostgreSQL's code for a terminated connection.
  expect(text).toContain('57P01')
  expect(text).not.toContain(password)
  await pool.end()
  await database.drop()
})

test('the log writes text instead of JSON to a terminal', async () => {
  const text = await captureText((log) => log.info({ pages: 3 }, 'log read'), { isTTY: true })
  expect(text).toContain('log read')
  expect(text).not.toMatch(/^\{/)
})
