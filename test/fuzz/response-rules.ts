import { expect } from 'vitest'
import type { FuzzedCredentials } from './requests.js'

interface Response {
  statusCode: number
  /** The headers and the body. */
  text: string
}

/** Rules that every response must satisfy. */
export interface ResponseRules {
  /** Checks the status of a response, and that it contains no key and no token of a user. */
  check(request: { method: string; url: string }, response: Response): void
  /** Returns the first key or token that a text contains. */
  findSecret(text: string): string | undefined
}

/** Statuses that every path can have, for example for an invalid body, a method that does not exist, or a wrong key. */
const COMMON_STATUSES = ['400', '401', '404', '405', '413', '414', '415', '417', '429', '431']

/** Statuses of the files of `/docs` and `/console`, which the OpenAPI document does not list. */
const FILE_STATUSES = ['200', '206', '302', '304', '416']

/** Creates the rules from the OpenAPI document of the API. */
export function createResponseRules(
  { paths = {} }: { paths?: object },
  { key, token, tokensOfUsers }: FuzzedCredentials,
): ResponseRules {
  const documentedPaths = Object.entries(
    paths as Record<string, Record<string, DocumentedOperation>>,
  ).map(([template, methods]) => ({
    // A parameter such as `{user_id}` matches one segment of the path.
    pattern: new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]*')}/?$`),
    methods,
  }))
  const findStatuses = (method: string, path: string): string[] => {
    if (path.startsWith('/v1/forward-auth')) return statusesOf('get', '/v1/forward-auth')
    return statusesOf(method === 'HEAD' ? 'get' : method.toLowerCase(), path)
  }
  const statusesOf = (method: string, path: string) => {
    const methods = documentedPaths.find(({ pattern }) => pattern.test(path))?.methods
    return Object.keys(methods?.[method]?.responses ?? {})
  }
  const secrets = [key, token, ...tokensOfUsers]
  const findSecret = (text: string) => secrets.find((secret) => text.includes(secret))
  return {
    findSecret,
    check({ method, url }, { statusCode, text }) {
      const [path = ''] = url.split('?')
      const isFile = /^\/(docs|console|openapi\.json)/.test(path)
      expect(
        [...COMMON_STATUSES, ...(isFile ? FILE_STATUSES : []), ...findStatuses(method, path)],
        `${method} ${url}\n${text}`,
      ).toContain(`${statusCode}`)
      // A forged token can name a key that is not known yet. No other cause of a 503 may occur, and no 500.
      if (statusCode >= 500) expect(text).toContain('the keys are unavailable')
      // `/logout` redirects to Auth0 with its parameters, which can contain a token.
      if (statusCode !== 303) expect(findSecret(text), `${method} ${url}`).toBe(undefined)
    },
  }
}

/** An operation of the OpenAPI document. */
interface DocumentedOperation {
  responses?: object
}
