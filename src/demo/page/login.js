/** The channel on which the window of a logout reports that the user has logged out. */
export const LOGOUT_CHANNEL = 'logout'

/** Starts the authorization code flow with PKCE. The browser goes to the tenant's login. */
export async function startLogin({ issuer, clientId }, prompt) {
  const verifier = randomText()
  const state = randomText()
  sessionStorage.setItem('login', JSON.stringify({ verifier, state, prompt }))
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  location.href = toUrl(`${issuer}authorize`, {
    client_id: clientId,
    response_type: 'code',
    redirect_uri: `${location.origin}/`,
    scope: 'openid offline_access',
    prompt,
    state,
    code_challenge: toBase64Url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
  })
}

/**
 * Opens a window that ends the session at the tenant, reports this on `LOGOUT_CHANNEL`, and closes itself.
 *
 * @param way `auth0`: the window goes to the tenant. `endpoint`: it goes to last-logout with the same parameters, which
 *   stores the logout, and redirects to the tenant.
 * @returns The window; `null` if the browser has not opened it.
 */
export function openLogout({ issuer, clientId, logoutUrl }, way, idToken) {
  const url = toUrl(way === 'endpoint' ? logoutUrl : `${issuer}oidc/logout`, {
    id_token_hint: idToken,
    client_id: clientId,
    post_logout_redirect_uri: `${location.origin}/logged-out.html`,
  })
  return open(url, 'logout', 'popup,width=480,height=360')
}

/** Takes the result of a login from the URL. Returns `null` if the URL contains no result. */
export function takeCallback() {
  const query = new URLSearchParams(location.search)
  history.replaceState(null, '', '/')
  const { state, verifier, prompt } = JSON.parse(sessionStorage.getItem('login') ?? '{}')
  if (state === undefined || query.get('state') !== state) return null
  sessionStorage.removeItem('login')
  const kind = prompt === 'none' ? 'silent login' : 'login'
  return { kind, error: query.get('error'), code: query.get('code'), verifier }
}

/** Requests tokens. */
export async function tokenRequest({ issuer, clientId }, parameters) {
  const response = await fetch(`${issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: clientId, ...parameters }),
  })
  return { ok: response.ok, body: await response.json() }
}

function toUrl(address, parameters) {
  return `${address}?${new URLSearchParams(parameters)}`
}

function randomText() {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(32)))
}

function toBase64Url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '')
}
