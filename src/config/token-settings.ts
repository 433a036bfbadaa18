import { z } from 'zod'
import { readUrl } from '../rules/url.js'
import { type ApiKey, isGatewayKey } from './api-keys.js'
import { addProblem, isSecureUrl, splitList } from './values.js'

/** The audience of the tokens that a caller may check, with the name of the caller's API key. */
interface KeyAudience {
  name: string
  audience: string
}

/**
 * Schema of `TOKEN_ISSUER`: the issuers of the tenant's tokens, one for each domain. The result has no trailing
 * slashes.
 */
export const tokenIssuers = z.string().transform((text, context) => {
  const issuers = splitList(text)
  if (issuers.length > 0 && issuers.every(isSafeUrl)) {
    return issuers.map((issuer) => issuer.replace(/\/$/, ''))
  }
  return addProblem(
    context,
    'must be the claim `iss` of the tokens, such as https://example.eu.auth0.com/, or several of them separated by commas: https URLs; http is allowed for the loopback interface only',
  )
})

/** Schema of the URL of a key set. */
export const jwksUrl = z.string().refine(isSafeUrl, {
  message:
    'must be an https URL, such as https://example.eu.auth0.com/.well-known/jwks.json; http is allowed for the loopback interface only',
})

/** Schema of `TOKEN_AUDIENCES`: a list of `name=audience`. Each `name` is the name of a key in `API_KEYS`. */
export const tokenAudiences = z.string().transform((text, context): KeyAudience[] => {
  const entries = splitList(text).map((entry) => {
    const [, name = '', audience = ''] = /^([^=]*)=(.*)$/s.exec(entry) ?? []
    return { name: name.trim(), audience: audience.trim() }
  })
  for (const [index, { name, audience }] of entries.entries()) {
    if (name !== '' && audience !== '') continue
    const form = 'write name=audience, such as orders-gateway=https://orders.example.com'
    addProblem(context, `has an entry ${index + 1} that is not a name and an audience: ${form}`)
  }
  if (new Set(entries.map(({ name }) => name)).size < entries.length) {
    addProblem(context, 'names a key twice: a key has one audience')
  }
  return entries
})

/** Adds the audience to each key of a gateway. */
export function addAudiences(
  keys: readonly ApiKey[],
  audiences: readonly KeyAudience[] = [],
): ApiKey[] {
  return keys.map((key) => {
    const found = audiences.find(({ name }) => name === key.name)
    return found === undefined || !isGatewayKey(key) ? key : { ...key, audience: found.audience }
  })
}

/** Returns a problem for each gateway key without an audience, and for each audience without a gateway key. */
export function findAudienceProblems(
  keys: readonly ApiKey[],
  audiences: readonly KeyAudience[] = [],
): string[] {
  const withoutAudience = [...keys.entries()]
    .filter(([, key]) => isGatewayKey(key))
    .filter(([, { name }]) => !audiences.some((entry) => entry.name === name))
  const withoutKey = audiences.filter(
    ({ name }) => !keys.some((key) => key.name === name && isGatewayKey(key)),
  )
  return [
    ...withoutAudience.map(
      ([index]) =>
        `TOKEN_AUDIENCES lacks the audience of entry ${index + 1} of API_KEYS, which has the role introspect or forward-auth: add name=audience with the name of that entry and the identifier of its API`,
    ),
    ...withoutKey.map(
      ({ name }) =>
        `TOKEN_AUDIENCES names ${name}, but API_KEYS has no key of that name with the role introspect or forward-auth: correct the name, or add the role`,
    ),
  ]
}

/** Whether a text is a URL of a confidential connection. The URL must have no credentials, query or fragment. */
function isSafeUrl(text: string): boolean {
  const url = readUrl(text)
  if (url === null || !isSecureUrl(url)) return false
  return url.username === '' && url.password === '' && !/[?#]/.test(text)
}
