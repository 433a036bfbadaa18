import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runCommand } from '../_support/cli.js'

test('runs without any configuration, prints a curl line that works when pasted, and leaves nothing behind', async () => {
  const command = runCommand(['demo'])
  await expect.poll(() => command.stdout(), { timeout: 30_000 }).toContain('Ctrl-C ends it.')

  // What curl would do, where there is none.
  const [, authorization = '', url = ''] =
    /curl -s -H 'Authorization: (.*)' '(http\S+)'/.exec(command.stdout()) ?? []
  const answer = await fetch(url, { headers: { authorization } })
  expect(await answer.json()).toMatchObject({
    last_logout_at: expect.stringMatching(/^20/),
    complete: true,
  })
  const [, dataDir = ''] = /database .* in (\S+),/.exec(command.stdout()) ?? []
  expect(existsSync(dataDir)).toBe(true)

  command.kill('SIGINT')
  expect(await command.exited).toBe(0)
  expect(existsSync(dataDir)).toBe(false)
  expect(command.stderr()).toBe('')
})
