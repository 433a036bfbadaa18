import { Writable } from 'node:stream'
import pg from 'pg'
import { expect, test } from 'vitest'
import { LastLogoutError } from '../src/errors.js'
import { createLog } from '../src/log.js'
import { createTestDatabase } from './_support/database.js'

/** Returns the text that a log writes to its stream. */
async function captureText(write: (log: Awaited<ReturnType<typeof createLog>>) => void) {
  const lines: string[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  write(await createLog('debug', stream))
  return lines.join('')
}

test('the log contains the code, the message and the causes of an error', async () => {
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

test('if a log line contains the headers of a request, it contains no key and no token', async () => {
  const headers = { authorization: 'secret', cookie: 'secret', 'x-last-logout-key': 'secret' }
  const text = await captureText((log) =>
    log.child({ part: 'api' }).warn({ headers, req: { headers } }),
  )
  expect(text).toContain('x-last-logout-key')
  expect(text).not.toContain('secret')
})

test('the log can write an error whose cause is the error itself', async () => {
  const err = new Error('circular')
  err.cause = err
  expect(await captureText((log) => log.error({ err }))).toContain('circular')
})

test('the log omits the connection and the password from an error of the PostgreSQL driver', async () => {
  const database = await createTestDatabase()
  const pool = new pg.Pool({ connectionString: database.url })
  const connectionError = new Promise<unknown>((resolve) => pool.once('error', resolve))
  await pool.query('SELECT 1')
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  )
  const err = await connectionError
  const { password } = new URL(database.url)
  expect((err as { client?: { password: string } }).client?.password).toBe(password)
  const text = await captureText((log) => log.error({ err }, 'idle connection lost'))
  // 57P01 is PostgreSQL's code for a terminated connection.
  expect(text).toContain('57P01')
  expect(text).not.toContain(password)
  await pool.end()
  await database.drop()
})

test('the log writes text instead of JSON to a terminal', async () => {
  const lines: string[] = []
  const stream = Object.assign(
    new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk))
        done()
      },
    }),
    { isTTY: true },
  )
  const log = await createLog('info', stream)
  log.info({ pages: 3 }, 'log read')
  expect(lines.join('')).toMatch(/log read/)
  expect(lines.join('')).not.toMatch(/^\{/)
})
