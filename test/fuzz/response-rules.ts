import { expect } from 'vitest'
import type { FuzzedCredentials } from './requests.js'

/** A response, and the headers and the body of it as a text. */
interface Response {
  statusCode: number
  text: string
}

/** What every response must satisfy. */
export interface ResponseRules {
  /** Checks the status of a response, and that it contains no key and no token of a user. */
  check(request: { method: string; url: string }, response: Response): void
  /** Returns the first key or token that a text contains. */
  findSecret(text: string): string | undefined
}

/** Statuses that every path can have: invalid URLs, headers and bodies, paths and methods that do not exist, wrong keys. */
const STATUSES_OF_ALL = ['400', '401', '404', '405', '413', '414', '415', '417', '429', '431']

/** Statuses of the files of `/docs` and `/console`, which the OpenAPI document does not list. */
const STATUSES_OF_FILES = ['200', '206', '302', '304', '416']

/** Creates the rules from the OpenAPI document of the API. */
export function createResponseRules(
  { paths = {} }: { paths?: object },
  { key, token, tokensOfUsers }: FuzzedCredentials,
): ResponseRules {
  const documented = Object.entries(paths as Record<string, Record<string, Documented>>).map(
    ([template, methods]) => ({
      pattern: new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]*')}/?$`),
      methods,
    }),
  )
  const findStatuses = (method: string, path: string): string[] => {
    if (path.startsWith('/v1/forward-auth')) return statusesOf('get', '/v1/forward-auth')
    return statusesOf(method === 'HEAD' ? 'get' : method.toLowerCase(), path)
  }
  const statusesOf = (method: string, path: string) => {
    const methods = documented.find(({ pattern }) => pattern.test(path))?.methods
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
        [...STATUSES_OF_ALL, ...(isFile ? STATUSES_OF_FILES : []), ...findStatuses(method, path)],
        `${method} ${url}\n${text}`,
      ).toContain(`${statusCode}`)
      // The key of a token can be newer than the known keys. Nothing else may be unavailable.
      if (statusCode >= 500) expect(text).toContain('the keys are unavailable')
      // `/logout` passes on its parameters, so that Auth0 checks them.
      if (statusCode !== 303) expect(findSecret(text), `${method} ${url}`).toBe(undefined)
    },
  }
}

/** An operation of the OpenAPI document. */
interface Documented {
  responses?: object
}
