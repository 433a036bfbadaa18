import { Writable } from 'node:stream'
import pg from 'pg'
import { expect, test } from 'vitest'
import { LastLogoutError } from '../src/errors.js'
import { createLog } from '../src/log.js'
import { createTestDatabase } from './_support/database.js'

async function written(write: (log: Awaited<ReturnType<typeof createLog>>) => void) {
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

test('logs an error with its code, its message and its causes', async () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const err = new LastLogoutError('AUTH0_UNAVAILABLE', 'cannot be reached', { cause })
  const line = JSON.parse(await written((log) => log.error({ err }, 'poll failed')))
  expect(line).toMatchObject({
    msg: 'poll failed',
    err: {
      code: 'AUTH0_UNAVAILABLE',
      message: 'cannot be reached',
      cause: { code: 'ECONNREFUSED' },
    },
  })
})

test('logs an error that is its own cause', async () => {
  const err = new Error('round')
  err.cause = err
  expect(await written((log) => log.error({ err }))).toContain('round')
})

test('logs an error of a driver without its connection and password', async () => {
  const database = await createTestDatabase()
  const pool = new pg.Pool({ connectionString: database.url })
  const broken = new Promise<unknown>((resolve) => pool.once('error', resolve))
  await pool.query('SELECT 1')
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  )
  const err = await broken
  const { password } = new URL(database.url)
  expect((err as { client?: { password: string } }).client?.password).toBe(password)
  const text = await written((log) => log.error({ err }, 'idle connection lost'))
  expect(text).toContain('57P01')
  expect(text).not.toContain(password)
  await pool.end()
  await database.drop()
})

test('writes human-readable lines to a terminal', async () => {
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
