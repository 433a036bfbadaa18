import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createClosers } from '../../src/async/closers.js'
import { openApiBehindNginx } from '../../src/demo/nginx.js'

/** Opens the API with a directory in which only this script is `nginx`. Without a script, nothing is. */
async function openWith(script?: string, startTimeoutMs?: number) {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-test-'))
  const closers = createClosers()
  onTestFinished(async () => {
    await closers.close()
    await rm(directory, { recursive: true })
  })
  if (script !== undefined) await writeFile(join(directory, 'nginx'), script, { mode: 0o755 })
  const address = { apiUrl: 'http://127.0.0.1:1', key: 'x'.repeat(32) }
  return openApiBehindNginx(
    {
      directories: [directory],
      ...address,
      pageOrigin: 'http://127.0.0.1:2',
      ...(startTimeoutMs && { startTimeoutMs }),
    },
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

/** A program that serves the port of nginx with other responses, and exits after two requests. */
const otherServer = (respond: string) => `#!${process.execPath}
const { readFileSync } = require('node:fs')
const port = /listen 127.0.0.1:(\\d+)/.exec(readFileSync(process.argv.at(-3), 'utf8'))[1]
let requests = 0
require('node:http').createServer((request, response) => {
  ${respond}
  if (++requests === 2) process.exit(1)
}).listen(port, '127.0.0.1')
`

test.each([
  ['responds with a page', 'response.end()'],
  ['refuses every request', 'response.writeHead(401).end()'],
  ['sends no response', ''],
])('another server on the port of nginx that %s is not taken for it', async (_case, respond) => {
  const timeoutMs = respond === '' ? 300 : undefined
  expect(await openWith(otherServer(respond), timeoutMs)).toEqual({
    problem: 'nginx has not started: it has logged no reason',
  })
})
