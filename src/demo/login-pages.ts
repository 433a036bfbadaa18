import { text } from 'node:stream/consumers'
import type { Provider } from 'oidc-provider'
import type { DemoUser } from './logins.js'

type Middleware = Parameters<Provider['use']>[0]

/** Serves the tenant's login page. On this page, the visitor chooses a user. No password is needed. */
export function loginRoutes(provider: Provider, users: readonly DemoUser[]): Middleware {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/login/')) return next()
    if (ctx.method !== 'POST') {
      ctx.type = 'html'
      ctx.body = loginPage(users)
      return
    }
    const accountId = new URLSearchParams(await text(ctx.req)).get('user') ?? ''
    const result = users.some(({ userId }) => userId === accountId)
      ? { login: { accountId, remember: true } }
      : { error: 'access_denied', error_description: 'no user was chosen' }
    await provider.interactionFinished(ctx.req, ctx.res, result)
    ctx.respond = false
  }
}

function loginPage(users: readonly DemoUser[]): string {
  const buttons = users.map(
    ({ userId, userName }) =>
      `<button name="user" value="${userId}">Continue as<b>${userName}</b></button>`,
  )
  return page(
    'Log in',
    `<p>This page simulates the tenant's login. It needs no password.</p><form method="post">${buttons.join('')}</form>`,
  )
}

/**
 * Returns the logout page. A script confirms the logout, because Auth0 also ends a session without confirmation by the
 * user.
 *
 * @param form The provider's HTML form for the logout.
 */
export function signOutPage(form: string): string {
  const confirmed = form.replace(
    '</form>',
    '<button name="logout" value="yes">Log out</button></form>',
  )
  return page('Log out', `${confirmed}<script>document.querySelector('button').click()</script>`)
}

/** Returns a page with a message. */
export function messagePage(title: string, message: string): string {
  return page(escapeHtml(title), `<p>${escapeHtml(message)}</p>`)
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>${title} | simulated tenant</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { display: grid; place-content: center; min-height: 100vh; margin: 0; background: light-dark(#eef1f6, #14161b) }
  main { width: min(24rem, 80vw); padding: 2rem; border-radius: .75rem; background: light-dark(#fff, #1e2128) }
  h1 { margin: 0; font-size: 1.25rem }
  button { width: 100%; margin-top: .75rem; padding: .75rem; border: 0; border-radius: .5rem; font: inherit;
    color: #fff; background: #2f5fd0; cursor: pointer }
  b { display: block; overflow-wrap: anywhere }
</style>
<main><h1>${title}</h1>${body}</main>
</html>`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
