import { expect, onTestFinished, test } from 'vitest'
import { becomesReady } from '../../src/embedded-postgres/becomes-ready.js'
import { openFakePostgres } from '../_support/fake-postgres.js'

test('a start does not send the password to a program that has taken the port of the server', async () => {
  const program = await openFakePostgres('cleartext')
  onTestFinished(program.close)
  const url = `postgres://last_logout:the-password@127.0.0.1:${program.port}`

  expect(await becomesReady({ isRunning: () => true }, url, 500)).toBe(false)
  // The first message of a client contains the name of the database.
  expect(program.received()).toContain('database\0postgres')
  expect(program.received()).not.toContain('the-password')
})
