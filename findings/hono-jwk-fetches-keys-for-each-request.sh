#!/usr/bin/env bash
# hono/jwk with jwks_uri requests the key set of the issuer again for each request.
#
# Versions: hono 4.13.19, jose 6.2.18; Node 20.20.
#
# Guess, before it was run: "Like createRemoteJWKSet of jose and every other middleware for Auth0, hono/jwk keeps
# the key set: ten requests with tokens of one key fetch it once."
#
# What happens: each request fetches it, so ten requests fetch it ten times. An API behind hono/jwk is as slow as
# the key set's host, fails while that host fails, and is throttled with it. With jose's createRemoteJWKSet in the
# same app, ten requests fetch the key set once.
#
# Seen:
#   ten requests through hono/jwk: 10 fetches of the key set
#   ten requests through jose: 1 fetch of the key set
#
# Exits with 1 when that changes.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >package.json <<'JSON'
{ "private": true, "type": "module" }
JSON
npm install --silent --no-audit --no-fund --ignore-scripts hono@4.13.19 jose@6.2.18

cat >run.mjs <<'JS'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Hono } from 'hono'
import { jwk } from 'hono/jwk'
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'

const { privateKey, publicKey } = await generateKeyPair('RS256')
const key = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }
let fetches = 0
const issuer = createServer((_request, response) => {
  fetches++
  response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [key] }))
}).listen(0, '127.0.0.1')
await once(issuer, 'listening')
const jwks_uri = `http://127.0.0.1:${issuer.address().port}/.well-known/jwks.json`

const header = { alg: 'RS256', kid: 'one' }
const token = await new SignJWT({ sub: 'user' }).setProtectedHeader(header).setExpirationTime('1h').sign(privateKey)
const authorization = `Bearer ${token}`

async function countFetches(verify) {
  const app = new Hono()
  app.use(verify)
  app.get('/', (c) => c.text('accepted'))
  fetches = 0
  for (let n = 0; n < 10; n++) {
    const response = await app.request('/', { headers: { authorization } })
    if ((await response.text()) !== 'accepted') throw new Error(`status ${response.status}`)
  }
  return fetches
}

const byHono = await countFetches(jwk({ jwks_uri, alg: ['RS256'] }))
const keys = createRemoteJWKSet(new URL(jwks_uri))
const byJose = await countFetches(async (c, next) => {
  await jwtVerify(c.req.header('authorization').slice('Bearer '.length), keys)
  await next()
})
console.log(`ten requests through hono/jwk: ${byHono} fetches of the key set`)
console.log(`ten requests through jose: ${byJose} fetch of the key set`)
issuer.close()
process.exitCode = byHono === 10 && byJose === 1 ? 0 : 1
JS
node run.mjs
