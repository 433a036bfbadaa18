import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'

/** A key with which a caller proves the possession of tokens (RFC 9449). */
export interface DpopKey {
  /** The thumbprint of the key. A token that is bound to the key has it in the claim `cnf.jkt`. */
  thumbprint: string
  /** Returns the header `DPoP` of a GET request with a token: a signed proof. */
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
