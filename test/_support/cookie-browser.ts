/** The maximum number of redirects and forms of one visit. It ends a redirect loop. */
const MAX_STEPS = 12

/** A browser without scripts. It keeps cookies, follows redirects, and fills in the tenant's login and logout pages. */
export interface CookieBrowser {
  cookies: Map<string, string>
  /** Sends one request, without following a redirect. */
  request(url: string | URL, init?: RequestInit): Promise<Response>
  /** Opens a page, follows all redirects and fills in all forms. Returns the last response. */
  visit(url: string): Promise<Response>
  /** The URL of the last visit, and the URLs of its redirects. */
  visitedUrls: URL[]
}

/** Opens a browser of the user. The browser sends every cookie to every server, because all servers are on one host. */
export function openCookieBrowser(userId: string): CookieBrowser {
  const cookies = new Map<string, string>()
  const request = async (url: string | URL, init: RequestInit = {}) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { accept: 'text/html', cookie, ...init.headers }
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '' || /expires=Thu, 01 Jan 1970/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    return response
  }
  const visitedUrls: URL[] = []
  return {
    cookies,
    request,
    visitedUrls,
    async visit(firstUrl) {
      let url = new URL(firstUrl)
      visitedUrls.splice(0, Number.POSITIVE_INFINITY, url)
      let response = await request(url)
      for (let steps = 0; steps < MAX_STEPS; steps += 1) {
        if (response.status === 200) {
          const form = await fillInForm(response, url, userId)
          if (form === null) break
          url = form.action
          response = await request(url, { method: 'POST', body: form.body })
        }
        const location = response.headers.get('location')
        if (location === null) break
        url = new URL(location, url)
        visitedUrls.push(url)
        response = await request(url)
      }
      return response
    },
  }
}

/** Fills in the form of the tenant's login or logout page. Returns `null` for every other page. */
async function fillInForm(response: Response, url: URL, userId: string) {
  if (url.pathname.startsWith('/login/')) {
    return { action: url, body: new URLSearchParams({ user: userId }) }
  }
  if (url.pathname !== '/oidc/logout') return null
  const page = await response.clone().text()
  const [, action] = /action="([^"]+)"/.exec(page) ?? []
  const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(page) ?? []
  if (action === undefined) return null
  return { action: new URL(action, url), body: new URLSearchParams({ xsrf, logout: 'yes' }) }
}
