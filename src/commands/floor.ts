import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { toDateTime } from '../rules/instant.js'
import { openStore } from '../service/open-store.js'
import { describeClockDifference } from './clock-difference.js'
import type { CommandContext } from './context.js'
import { readInstantArgument } from './instant-argument.js'

const CONSEQUENCES = `This revokes tokens, and does not end Auth0 sessions. A browser with an Auth0 session gets new tokens
without a password. Without the login Action, refresh tokens stay valid as well. Machine tokens
(…@clients) are not affected. The floor cannot be lowered.
`

/** Runs `floor raise`: revokes the tokens of all users whose login is not after an instant. */
export async function runFloorRaise(context: CommandContext, instant: string): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const at = readInstantArgument(instant)
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const { floorAt, now } = await store.readProgress()
    const clockDifference = describeClockDifference(now, Date.now())
    if (at !== null && at > now) {
      throw new LastLogoutError(
        'USAGE',
        `The floor cannot be raised to ${instant}: it is in the future, since the clock of the database shows ${toDateTime(now)}. Use now, or an instant in the past.`,
      )
    }
    const raisedAt = await store.raiseFloor(at)
    const raisedTo = toDateTime(raisedAt)
    context.print(clockDifference)
    context.print(
      raisedAt === floorAt
        ? `The floor of ${config.auth0.domain} stays at ${raisedTo}: it cannot be lowered.\n`
        : `The floor of ${config.auth0.domain} is now ${raisedTo}: tokens of all users are revoked unless their login is later.\n`,
    )
    context.print(CONSEQUENCES)
  } finally {
    await close()
  }
}
