import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createClosers } from '../../src/async/closers.js'
import { openApiBehindNginx } from '../../src/demo/nginx.js'

/** Opens the API with a directory in which only this script is `nginx`. Without a script, nothing is. */
async function openWith(script?: string) {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-test-'))
  const closers = createClosers()
  onTestFinished(async () => {
    await closers.close()
    await rm(directory, { recursive: true })
  })
  if (script !== undefined) await writeFile(join(directory, 'nginx'), script, { mode: 0o755 })
  const address = { apiUrl: 'http://127.0.0.1:1', key: 'x'.repeat(32) }
  return openApiBehindNginx(
    { directories: [directory], ...address, pageOrigin: 'http://127.0.0.1:2' },
    closers,
  )
}

test('where nginx is not installed, the demo says how to see it', async () => {
  expect(await openWith()).toEqual({
    problem: 'nginx is not installed: install it, and start the demo again',
  })
})

test('an nginx that does not start is reported with its last message', async () => {
  const script =
    '#!/bin/sh\necho "nginx: starting" >&2\necho "nginx: [emerg] no memory" >&2\nexit 1\n'
  expect(await openWith(script)).toEqual({
    problem: 'nginx has not started: nginx: [emerg] no memory',
  })
})
