import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { finishCommand, runCommand } from '../_support/cli.js'

test('demo runs without configuration, prints a curl command that works, and deletes its database', async () => {
  // The preferred port of the visitor's app is in use, by this server or by another program.
  const server = createServer().listen(3002, '127.0.0.1')
  await Promise.race([once(server, 'listening'), once(server, 'error')])
  onTestFinished(() => void server.close())
  const command = runCommand(['demo'])
  await expect
    .poll(() => command.stdout(), { timeout: 30_000 })
    .toContain('Press Ctrl-C to stop the demo.')

  // Send the request of the printed curl command.
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

  // Run the printed command, which explains the verdict on a token from standard input.
  const [, AUTH0_DOMAIN = '', DATA_DIR = ''] =
    /AUTH0_DOMAIN=(\S+) DATA_DIR=(\S+) .* explain -\n/.exec(command.stdout()) ?? []
  // The command does not verify the signature. The last part of this token is `signature` in base64url.
  const claims = { sub: 'auth0|demo-user-1', iat: 1, exp: 4_000_000_000 }
  const [header, payload] = [{ alg: 'RS256' }, claims].map((part) => {
    return Buffer.from(JSON.stringify(part)).toString('base64url')
  })
  const token = `${header}.${payload}.c2lnbmF0dXJl`
  const explained = await finishCommand(
    ['explain', '-'],
    { AUTH0_DOMAIN, DATA_DIR },
    { input: token },
  )
  expect(explained).toMatchObject({ code: 0, stderr: '' })
  expect(explained.stdout).toMatch(/^subject +auth0\|demo-user-1\n(.*\n)*verdict/)

  // The printed key of a gateway has the roles for both kinds of gateways. No token is sent, or an invalid one.
  const [, apiUrl = ''] = /^ {2}API +(\S+)$/m.exec(command.stdout()) ?? []
  const [, gatewayKey = ''] = /use the key (\S+) and tokens/.exec(command.stdout()) ?? []
  const forwardAuth = await fetch(`${apiUrl}/v1/forward-auth`, {
    headers: { 'x-last-logout-key': gatewayKey },
  })
  expect(forwardAuth.status).toBe(401)
  const introspection = await fetch(`${apiUrl}/v1/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gatewayKey}` },
    body: new URLSearchParams({ token: 'invalid' }),
  })
  expect(await introspection.json()).toEqual({ active: false })

  // The visitor's app gets a free port, which the tenant accepts for the callback, and a cookie secret of its own.
  const printed = (name: string) =>
    new RegExp(`^  PORT=.* ${name}=(\\S+)`, 'm').exec(command.stdout())?.[1] ?? ''
  const [, appPort = ''] = /^ {2}PORT=(\d+) /m.exec(command.stdout()) ?? []
  expect(appPort).not.toBe('3002')
  expect(printed('BASE_URL')).toBe(`http://127.0.0.1:${appPort}`)
  const app = createServer().listen(Number(appPort), '127.0.0.1')
  onTestFinished(() => void app.close())
  await once(app, 'listening')
  const login = new URL('authorize', printed('ISSUER_BASE_URL'))
  login.search = `${new URLSearchParams({
    client_id: printed('CLIENT_ID'),
    redirect_uri: `${printed('BASE_URL')}/callback`,
    response_type: 'code',
    scope: 'openid',
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  })}`
  const redirect = await fetch(login, { redirect: 'manual' })
  expect(redirect.headers.get('location')).toMatch(/\/login\//)
  expect(printed('SECRET')).toMatch(/^[\w-]{32}$/)
  expect(printed('SECRET')).not.toBe(printed('CLIENT_SECRET'))

  command.kill('SIGINT')
  expect(await command.exited).toBe(0)
  expect(existsSync(dataDir)).toBe(false)
  expect(command.stderr()).toBe('')
})

test('demo ends with an error if its PostgreSQL stops by itself', async () => {
  const command = runCommand(['demo'], { PORT: '0' })
  await expect
    .poll(() => command.stdout(), { timeout: 30_000 })
    .toContain('Press Ctrl-C to stop the demo.')
  const [, dataDir = ''] = /database .* in (\S+),/.exec(command.stdout()) ?? []
  const lock = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')
  process.kill(Number.parseInt(lock, 10), 'SIGKILL')
  await expect.poll(() => command.stderr(), { timeout: 10_000 }).not.toBe('')
  expect(await command.exited).toBe(1)
  expect(command.stderr()).toBe(
    'last-logout: The PostgreSQL server of the demo has stopped by itself: start the demo again.\n',
  )
  expect(existsSync(dataDir)).toBe(false)
})
