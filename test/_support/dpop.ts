import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'

/** The key of a caller that proves the possession of its tokens (RFC 9449). */
export interface DpopKey {
  /** The thumbprint of the key: the claim `cnf.jkt` of a token that is bound to it. */
  thumbprint: string
  /** Signs the proof for a GET request with a token. It is the value of the header `DPoP`. */
  prove(url: string, token: string): Promise<string>
}

/** Creates a key. */
export async function createDpopKey(): Promise<DpopKey> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  return {
    thumbprint: await calculateJwkThumbprint(jwk),
    prove: (htu, token) => {
      const ath = createHash('sha256').update(token).digest('base64url')
      return new SignJWT({ htm: 'GET', htu, ath, jti: randomUUID() })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
        .setIssuedAt()
        .sign(privateKey)
    },
  }
}
