import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { toDateTime } from '../rules/instant.js'
import { openStore } from '../service/open-store.js'
import { describeClockDifference } from './clock-difference.js'
import type { CommandContext } from './context.js'
import { readInstant } from './read-instant.js'

const CONSEQUENCES = `This ends tokens, not Auth0 sessions: browsers that are still logged in at Auth0 get new tokens without
a password, and without the login Action refresh tokens go on as well. Machine tokens (…@clients) are
not concerned. The floor cannot be lowered.
`

/** `floor raise`: ends the tokens of everybody whose login is not after an instant. */
export async function raiseFloor(context: CommandContext, instant: string): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const at = readInstant(instant)
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const { floorAt, now } = await store.readProgress()
    const clockDifference = describeClockDifference(now, Date.now())
    if (at !== null && at > now) {
      throw new LastLogoutError(
        'USAGE',
        `the floor cannot be in the future (it is ${toDateTime(now)} by the clock of the database): say now, or an instant that has passed`,
      )
    }
    const raisedAt = await store.raiseFloor(at)
    const raisedTo = toDateTime(raisedAt)
    context.print(clockDifference)
    context.print(
      raisedAt === floorAt
        ? `The floor of ${config.auth0.domain} stays at ${raisedTo}: it only rises.\n`
        : `The floor of ${config.auth0.domain} is now ${raisedTo}: all users' tokens are revoked whose login is not after it.\n`,
    )
    context.print(CONSEQUENCES)
  } finally {
    await close()
  }
}
