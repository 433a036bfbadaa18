import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createClosers } from '../../src/async/closers.js'
import { openApiBehindNginx } from '../../src/demo/nginx.js'

/** Opens the API with a directory that contains only `script`, under the name `nginx`. Without `script`, it is empty. */
async function openApiWith(script?: string) {
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

test('if nginx is not installed, the problem contains the advice to install it', async () => {
  expect(await openApiWith()).toEqual({
    problem: 'nginx is not installed: install it, and start the demo again',
  })
})

test('if nginx does not start, the problem contains the last message of nginx', async () => {
  const script =
    '#!/bin/sh\necho "nginx: starting" >&2\necho "nginx: [emerg] no memory" >&2\nexit 1\n'
  expect(await openApiWith(script)).toEqual({
    problem: 'nginx has not started: nginx: [emerg] no memory',
  })
})
