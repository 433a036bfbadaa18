import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { runCommand } from '../_support/cli.js'
import { WAIT } from '../_support/wait.js'

/**
 * Starts the demo, and waits until it is ready.
 *
 * @returns The process, the URL of the API behind nginx, and the directory for the temporary files of the demo.
 */
async function startDemo() {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-test-'))
  // If root runs the test, PostgreSQL and the workers of nginx run as other users, who must reach their files.
  await chmod(directory, 0o711)
  const command = runCommand(['demo'], { TMPDIR: directory })
  onTestFinished(async () => {
    command.kill('SIGKILL')
    await command.exited
    await rm(directory, { recursive: true, force: true })
  })
  await expect
    .poll(command.stdout, { ...WAIT, timeout: 60_000 })
    .toContain('Press Ctrl-C to stop the demo.')
  const [, url = ''] = /nginx +(http\S+): an API/.exec(command.stdout()) ?? []
  return { command, url, directory }
}

/** Returns the status of the response, or `null` if no server responds. */
const statusOf = (url: string) =>
  fetch(url).then(
    ({ status }) => status,
    () => null,
  )

test('the demo protects an API with nginx, and SIGTERM stops nginx and deletes all temporary files', async () => {
  const { command, url, directory } = await startDemo()
  // nginx refuses a request without a token.
  expect(await statusOf(url)).toBe(401)
  expect(await readdir(directory)).toContainEqual(expect.stringMatching(/-nginx-/))
  command.kill('SIGTERM')
  expect(await command.exited).toBe(0)
  expect(await statusOf(url)).toBe(null)
  expect(await readdir(directory)).toEqual([])
}, 90_000)

test('nginx stops after SIGKILL has ended the demo', async () => {
  const { command, url } = await startDemo()
  expect(await statusOf(url)).toBe(401)
  command.kill('SIGKILL')
  await command.exited
  await expect.poll(() => statusOf(url), WAIT).toBe(null)
}, 90_000)
