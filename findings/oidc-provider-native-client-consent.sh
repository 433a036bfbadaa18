#!/usr/bin/env bash
# oidc-provider asks a native client for consent at every login, although the grant exists already.
#
# Versions: oidc-provider 9.13.3; Node 20.20.
#
# Guess, before it was run: "loadExistingGrant returns a grant with all requested scopes, so a native client, whose
# loopback redirect may use any port (RFC 8252 section 7.3), logs in like a web client: one login, then the code."
#
# What happens: after the login, the web client gets its code, and the native client gets a second prompt, consent,
# with the reason native_client_prompt. The result of the login must contain `consent` as well, or the policy must
# omit this check. A login page that returns only `login` shows itself again and again.
#
# Seen:
#   web: prompts login, then the code
#   native: prompts login, consent (native_client_prompt)
#
# Exits with 1 when that changes.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >package.json <<'JSON'
{ "private": true, "type": "module" }
JSON
npm install --silent --no-audit --no-fund --ignore-scripts oidc-provider@9.13.3

cat >run.mjs <<'JS'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

const server = createServer().listen(0, '127.0.0.1')
await once(server, 'listening')
const issuer = `http://127.0.0.1:${server.address().port}`
const clientOf = (application_type, redirect_uri) => ({
  client_id: application_type,
  application_type,
  client_secret: 'a secret of at least thirty-two characters',
  redirect_uris: [redirect_uri],
})
const redirectUris = { web: 'http://127.0.0.1:3002/callback', native: 'http://127.0.0.1/callback' }
const prompts = []
const provider = new Provider(issuer, {
  clients: Object.entries(redirectUris).map(([type, uri]) => clientOf(type, uri)),
  features: { devInteractions: { enabled: false } },
  cookies: { keys: ['a key'] },
  ttl: { Interaction: 60, Grant: 60, Session: 60, AuthorizationCode: 60 },
  pkce: { required: () => false },
  interactions: { url: (_ctx, { uid }) => `/login/${uid}` },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  async loadExistingGrant({ oidc }) {
    const { clientId } = oidc.client
    const grant = new oidc.provider.Grant({ clientId, accountId: oidc.session.accountId })
    grant.addOIDCScope('openid')
    await grant.save()
    return grant
  },
})
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/login/')) return next()
  const { prompt } = await provider.interactionDetails(ctx.req, ctx.res)
  prompts.push(prompt.name === 'login' ? 'login' : `${prompt.name} (${prompt.reasons.join()})`)
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'user' } })
  ctx.respond = false
})
server.on('request', provider.callback())

/** Follows the redirects of a login until a second prompt or the redirect to the client. */
async function logIn(type) {
  prompts.length = 0
  const cookies = new Map()
  const parameters = { client_id: type, response_type: 'code', scope: 'openid' }
  const redirect_uri = redirectUris[type].replace('127.0.0.1/', '127.0.0.1:3002/')
  let url = `${issuer}/auth?${new URLSearchParams({ ...parameters, redirect_uri })}`
  while (prompts.length < 2 && url.startsWith(issuer)) {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const response = await fetch(url, { headers: { cookie }, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      cookies.set(name, value)
    }
    url = new URL(response.headers.get('location'), issuer).href
  }
  const end = new URL(url).searchParams.has('code') ? ', then the code' : ''
  return `${type}: prompts ${prompts.join(', ')}${end}`
}

const seen = [await logIn('web'), await logIn('native')]
console.log(seen.join('\n'))
server.close()
server.closeAllConnections()
const expected = ['web: prompts login, then the code', 'native: prompts login, consent (native_client_prompt)']
process.exitCode = seen.join() === expected.join() ? 0 : 1
JS
node run.mjs
