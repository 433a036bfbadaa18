import { createServer } from 'node:http'
import {
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { openLoopback } from './loopback.js'

/** Signs tokens with one key. */
export interface TokenSigner {
  /** The public key. */
  jwk: JWK
  sign(claims: JWTPayload, header?: Partial<JWTHeaderParameters>): Promise<string>
}

/** A server of a key set (JWKS). Tests can change its properties. */
export interface KeySetServer {
  url: string
  /** The public keys in the response. */
  keys: JWK[]
  /** The number of requests so far. */
  requestCount: number
  /** Another response in place of the key set. `null`: the server does not respond. */
  response?: { status: number; body: string; location?: string } | null | undefined
  close(): Promise<void>
}

/** Creates a signer with a new key. `kid` is the id of the key. */
export async function createTokenSigner(kid: string, alg = 'RS256'): Promise<TokenSigner> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
  return {
    jwk,
    sign: (claims, header) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT', ...header }).sign(privateKey),
  }
}

/** Serves a key set on the loopback interface. */
export async function openKeySetServer(...keys: JWK[]): Promise<KeySetServer> {
  const server: KeySetServer = { url: '', keys, requestCount: 0, close: async () => {} }
  const http = createServer((_request, response) => {
    server.requestCount++
    if (server.response === null) return
    const { status, body, location } = server.response ?? {
      status: 200,
      body: JSON.stringify({ keys: server.keys }),
    }
    if (location !== undefined) response.setHeader('location', location)
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  const { url, close } = await openLoopback(http)
  return Object.assign(server, { url: `${url}/.well-known/jwks.json`, close })
}
