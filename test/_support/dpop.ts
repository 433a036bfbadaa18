import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'

/** A key for DPoP (RFC 9449): with a signature, a caller proves that a token was issued to it. */
export interface DpopKey {
  /** The thumbprint of the key. A token that is bound to the key contains the thumbprint in the claim `cnf.jkt`. */
  thumbprint: string
  /** Returns the signed proof for a GET request with a token. The request sends the proof in the header `DPoP`. */
  prove(url: string, token: string): Promise<string>
}

/** Creates a key. */
export async function createDpopKey(): Promise<DpopKey> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  return {
    thumbprint: await calculateJwkThumbprint(jwk),
    prove: (url, token) => {
      const tokenHash = createHash('sha256').update(token).digest('base64url')
      return new SignJWT({ htm: 'GET', htu: url, ath: tokenHash, jti: randomUUID() })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
        .setIssuedAt()
        .sign(privateKey)
    },
  }
}
