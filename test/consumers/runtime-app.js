import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/fetch'

/* global OPTIONS -- The test defines it when it bundles the app: not all runtimes have environment variables. */
// Created at the top level of the module, where some runtimes forbid timers and random numbers.
const clients = Object.fromEntries(
  Object.entries(OPTIONS).map(([name, options]) => [name, createLastLogoutClient(options)]),
)

/** Checks claims as a protected route does. With `leaveAfterMs`, it responds without waiting for the check. */
export async function handle(request) {
  const { client, claims, leaveAfterMs } = await request.json()
  const checking = lastLogout(clients[client])(claims)
  if (leaveAfterMs !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, leaveAfterMs))
    return Response.json({ left: true })
  }
  return (await checking) ?? Response.json({ passed: true })
}
