/**
 * Runs a server with which `peers.ts` compares last-logout: an OpenID provider with an introspection endpoint (RFC
 * 7662), which keeps its tokens in memory. Sends an {@link IntrospectionServer} to the parent process. Runs until the
 * parent process ends it.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js'
import { Provider } from 'oidc-provider/lib/provider.js'
import { userIdOf } from './subjects.js'

/** A running introspection endpoint. */
export interface IntrospectionServer {
  url: string
  /** The value of the header `authorization`. */
  authorization: string
  /** An access token for which the endpoint responds `"active": true`. */
  token: string
}

const CLIENT_ID = 'orders-api'
const TTL_SECONDS = 86_400
const secret = randomBytes(24).toString('hex')
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })

const server = createServer((request, response) => provider.callback()(request, response))
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const provider = new Provider(issuer, {
  adapter: createMemoryAdapter(),
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: secret,
      redirect_uris: ['https://app.example/'],
    },
  ],
  jwks: { keys: [privateKey.export({ format: 'jwk' })] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    introspection: { enabled: true, allowedPolicy: () => true },
    devInteractions: { enabled: false },
  },
  ttl: { AccessToken: TTL_SECONDS, Grant: TTL_SECONDS },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
})

const client = await provider.Client.find(CLIENT_ID)
if (client === undefined) throw new Error('the provider has no client')
const accountId = userIdOf(1)
const grant = new provider.Grant({ clientId: CLIENT_ID, accountId })
const grantId = await grant.save()
const accessToken = new provider.AccessToken({
  accountId,
  client,
  grantId,
  gty: 'authorization_code',
  scope: 'openid',
})
const message: IntrospectionServer = {
  url: `${issuer}/token/introspection`,
  authorization: `Basic ${Buffer.from(`${CLIENT_ID}:${secret}`).toString('base64')}`,
  token: await accessToken.save(),
}
process.send?.(message)
