import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/fetch'

/* global OPTIONS -- The test defines this constant when it bundles the app, because some runtimes have no environment variables. */
// The clients are created at the top level of the module, where some runtimes forbid timers and random numbers.
const clients = Object.fromEntries(
  Object.entries(OPTIONS).map(([name, options]) => [name, createLastLogoutClient(options)]),
)

/** Checks claims like a protected route. With `leaveAfterMs`, responds after this time without waiting for the check. */
export async function handle(request) {
  const { client, claims, leaveAfterMs } = await request.json()
  const rejection = lastLogout(clients[client])(claims)
  if (leaveAfterMs !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, leaveAfterMs))
    return Response.json({ left: true })
  }
  return (await rejection) ?? Response.json({ passed: true })
}
