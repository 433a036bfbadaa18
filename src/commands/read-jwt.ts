import { LastLogoutError } from '../errors.js'

/** The longest token that is read, in characters: far above what a header can carry. */
export const LONGEST_JWT = 65_536

const WHAT_TO_PASTE =
  'paste the access token as the application sends it: three parts of letters, digits, - and _, ' +
  'joined by dots (eyJ….eyJ….…), with or without "Bearer " before it'

/**
 * The claims of a JWT (RFC 7519) in its compact form. Nothing is verified. Throws `USAGE`, with a message
 * that holds nothing of the text.
 */
export function readJwtClaims(text: string): Record<string, unknown> {
  if (text.length > LONGEST_JWT) throw notJwt(`it is longer than ${LONGEST_JWT} characters`)
  // A terminal may have wrapped it.
  const jwt = text.replace(/^\s*(authorization:\s*)?bearer\s/i, '').replace(/\s/g, '')
  if (jwt === '') throw notJwt('there is nothing in it')
  const parts = jwt.split('.')
  if (!parts.every((part) => /^[\w-]*$/.test(part))) throw notJwt('it has other characters')
  if (parts.length === 5) {
    throw unreadable('an encrypted token (JWE): only the API that it is for can read it')
  }
  if (parts.length === 1) {
    throw unreadable(
      'an opaque token, or a part of one: applications get a JWT when they ask Auth0 for the audience of an API',
    )
  }
  const [header = '', payload = ''] = parts
  const claims = readJsonObject(payload)
  if (parts.length !== 3 || readJsonObject(header) === null || claims === null) {
    throw notJwt('its parts are not those of one')
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
    // What JSON.parse says quotes the text.
    return null
  }
}

function notJwt(why: string): LastLogoutError {
  return new LastLogoutError('USAGE', `this is not a JWT, ${why}: ${WHAT_TO_PASTE}`)
}

function unreadable(what: string): LastLogoutError {
  return new LastLogoutError('USAGE', `this is ${what}; ${WHAT_TO_PASTE}`)
}
