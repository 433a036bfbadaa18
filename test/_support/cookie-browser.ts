/** A browser without scripts: it keeps cookies, and follows redirects and the login page of the demo's provider. */
export interface CookieBrowser {
  cookies: Map<string, string>
  /** Sends a request with the cookies. Does not follow a redirect. */
  request(url: string | URL, init?: RequestInit): Promise<Response>
  /** Opens an address, follows redirects, and logs in as the user if the login page appears. */
  visit(address: string): Promise<Response>
}

const MAX_REDIRECTS = 12

/** Opens a browser of the user. */
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
  const visit = async (address: string) => {
    let url = new URL(address)
    let response = await request(url)
    for (let steps = 0; steps < MAX_REDIRECTS; steps += 1) {
      if (response.status === 200 && url.pathname.startsWith('/login/')) {
        const body = new URLSearchParams({ user: userId })
        response = await request(url, { method: 'POST', body })
      }
      const location = response.headers.get('location')
      if (location === null) break
      url = new URL(location, url)
      response = await request(url)
    }
    return response
  }
  return { cookies, request, visit }
}
