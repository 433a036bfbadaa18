/** The option `session.cookie` of `Auth0Client` of `@auth0/nextjs-auth0`. */
export interface CookieOptions {
  /** Default `__session`. */
  name?: string | undefined
  domain?: string | undefined
  /** Default `/`. */
  path?: string | undefined
  secure?: boolean | undefined
  /** Default `lax`. */
  sameSite?: 'lax' | 'strict' | 'none' | undefined
}

/** The cookies of a request and its response, as `cookies()` of `next/headers` returns them. */
export interface CookieStore {
  getAll(): { name: string }[]
  set(name: string, value: string, options: object): unknown
}

/** The tokens of connections, and a session of release 3 of the library. */
const OTHER_COOKIES = /^(__FC_\d+|appSession(\.\d+)?)$/

/** Lists the cookies of a session. A session that is longer than one cookie is cut into several, with numbers. */
export function listSessionCookies(
  cookies: { name: string }[],
  { name: session = '__session' }: CookieOptions = {},
): string[] {
  const isOfSession = (name: string) =>
    name === session || name.replace(/__\d+$/, '') === session || OTHER_COOKIES.test(name)
  return cookies.map(({ name }) => name).filter(isOfSession)
}

/** Deletes cookies. A browser deletes a cookie only if domain and path are those with which it was set. */
export function deleteCookies(
  cookies: Pick<CookieStore, 'set'>,
  names: string[],
  { domain, path = '/', secure, sameSite = 'lax' }: CookieOptions = {},
): void {
  for (const name of names) {
    cookies.set(name, '', { domain, path, secure, sameSite, httpOnly: true, maxAge: 0 })
  }
}
