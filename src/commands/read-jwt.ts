import { LastLogoutError } from '../errors.js'

/** Maximum length of a token, in characters. No HTTP server accepts a header of this length. */
export const MAX_JWT_LENGTH = 65_536

const PASTE_ADVICE =
  'Paste the access token as the application sends it: three parts of letters, digits, - and _, ' +
  'joined by dots (eyJ….eyJ….…), with or without the prefix "Bearer ".'

/**
 * Reads the claims of a JWT in the compact serialization (RFC 7519). Verifies nothing.
 *
 * @throws `USAGE` if the text is not a JWT. The message contains no part of the text.
 */
export function readJwtClaims(text: string): Record<string, unknown> {
  if (text.length > MAX_JWT_LENGTH)
    throw notJwtError(`it is longer than ${MAX_JWT_LENGTH} characters`)
  // A terminal can have wrapped the token.
  const jwt = text.replace(/^\s*(authorization:\s*)?bearer\s/i, '').replace(/\s/g, '')
  if (jwt === '') throw notJwtError('it is empty')
  const parts = jwt.split('.')
  if (!parts.every((part) => /^[\w-]*$/.test(part)))
    throw notJwtError('it contains invalid characters')
  if (parts.length === 5) {
    throw unreadableError('an encrypted token (JWE), which only its API can decrypt')
  }
  if (parts.length === 1) {
    throw unreadableError(
      'an opaque token or a part of a token. Applications get a JWT when they request the audience of an API',
    )
  }
  const [header = '', payload = ''] = parts
  const claims = readJsonObject(payload)
  if (parts.length !== 3 || readJsonObject(header) === null || claims === null) {
    throw notJwtError('its header or payload is no JSON object, or it does not have three parts')
  }
  return claims
}

function readJsonObject(part: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    // The error is dropped, because its message quotes the text.
    return null
  }
}

function notJwtError(reason: string): LastLogoutError {
  return new LastLogoutError('USAGE', `The token is not a JWT: ${reason}. ${PASTE_ADVICE}`)
}

function unreadableError(kind: string): LastLogoutError {
  return new LastLogoutError('USAGE', `The token cannot be read: it is ${kind}. ${PASTE_ADVICE}`)
}
