import { createServer } from 'node:http'
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { openLoopback } from './loopback.js'

/** The part of an OpenID provider that an API needs to verify tokens. */
export interface Issuer {
  url: string
  publicKey: CryptoKey
  /** The public key in the PEM format. */
  publicPem: string
  sign(claims: JWTPayload): Promise<string>
  /** Returns the number of requests for the key set so far. */
  keySetRequests(): number
  close(): Promise<void>
}

/** The audience of the tokens that {@link openIssuer} signs. */
export const ORDERS_AUDIENCE = 'https://orders.example.com'

/**
 * Opens an issuer on the loopback interface. Like Auth0's key set, its key set has two keys: the current key and the
 * next key. The issuer signs with the current key.
 */
export async function openIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair('RS256')
  const nextKeyPair = await generateKeyPair('RS256')
  const keys = [
    { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' },
    { ...(await exportJWK(nextKeyPair.publicKey)), kid: 'next', alg: 'RS256', use: 'sig' },
  ]
  let keySetRequests = 0
  const server = createServer((request, response) => {
    const issuer = `http://${request.headers.host}/`
    const isKeySet = /jwks/.test(request.url ?? '')
    if (isKeySet) keySetRequests++
    const body = isKeySet ? { keys } : { issuer, jwks_uri: `${issuer}jwks` }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  const { url: origin, close } = await openLoopback(server)
  const url = `${origin}/`
  return {
    url,
    publicKey,
    publicPem: await exportSPKI(publicKey),
    sign: (claims) =>
      new SignJWT({
        iss: url,
        aud: ORDERS_AUDIENCE,
        exp: Math.floor(Date.now() / 1000) + 3600,
        ...claims,
      })
        .setProtectedHeader({ alg: 'RS256', kid: 'one' })
        .sign(privateKey),
    keySetRequests: () => keySetRequests,
    close,
  }
}
