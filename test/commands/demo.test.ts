import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runCommand } from '../_support/cli.js'

test('demo runs without configuration, prints a curl command that works, and deletes its database', async () => {
  const command = runCommand(['demo'])
  await expect
    .poll(() => command.stdout(), { timeout: 30_000 })
    .toContain('Press Ctrl-C to stop the demo.')

  // Sends the request of the curl command.
  const [, authorization = '', url = ''] =
    /curl -s -H 'Authorization: (.*)' '(http\S+)'/.exec(command.stdout()) ?? []
  const response = await fetch(url, { headers: { authorization } })
  expect(await response.json()).toMatchObject({
    user_id: 'auth0|demo-user-1',
    last_logout_at: null,
    complete: true,
  })
  // The demo prints the parts that it starts, and then the steps for the user.
  expect(command.stdout()).toMatch(
    /^\nStarting the demo\..*\n\n( {2}starting .+\n){4}\nlast-logout is running/,
  )
  expect(command.stdout()).toMatch(/^ {2}1\. Log in .*\n(.*\n)* {2}5\. Log in again/m)
  const [, dataDir = ''] = /database .* in (\S+),/.exec(command.stdout()) ?? []
  expect(existsSync(dataDir)).toBe(true)

  command.kill('SIGINT')
  expect(await command.exited).toBe(0)
  expect(existsSync(dataDir)).toBe(false)
  expect(command.stderr()).toBe('')
})
