import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import type { ForgottenPerson } from '../rules/forgotten-person.js'
import { MAX_ID_LENGTH, readId } from '../rules/id.js'
import { type Instant, toDateTime } from '../rules/instant.js'
import { openStore } from '../service/open-store.js'
import type { CommandContext } from './context.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'

const CONSEQUENCES = `This deletes nothing in Auth0: delete the user there first, so that no new entry names the user. Backups
of the database still contain the ids. docs/privacy.md lists all other places.
`

/**
 * Runs `forget`: replaces the ids of a person by keyed hashes. The tokens of the person stay revoked.
 *
 * @param user The user id, or `-` to read the id from standard input.
 */
export async function runForget(context: CommandContext, user: string): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const userId = readId(user === '-' ? await readLine(context) : user)
  if (userId === null) {
    throw new LastLogoutError(
      'USAGE',
      `The user id is invalid: it must be a text of 1 to ${MAX_ID_LENGTH} characters.`,
    )
  }
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const { asOf } = await store.readProgress()
    const person = await store.forget(userId)
    const { users, sessions, entries, remaining } = person
    const until = remaining && remaining.newestAt + config.maxRefreshAgeMs + config.maxTokenAgeMs
    // This audit record must not reveal which person was forgotten.
    log.info(
      { part: 'forget', users, sessions, entries, until: toDateTime(until) },
      'person forgotten',
    )
    context.print(describeChange(person))
    if (remaining === null || until === null) {
      context.print(nameProgram(describeNothing(userId, toDateTime(asOf)), context.programName))
    } else {
      context.print(describeRemaining(person, remaining, until))
      const tokensUntil = remaining.newestAt + config.maxTokenAgeMs
      if (tokensUntil > person.now) context.print(describeOldClients(toDateTime(tokensUntil)))
    }
    context.print(CONSEQUENCES)
  } finally {
    await close()
  }
}

async function readLine(context: CommandContext): Promise<string> {
  const text = await context.readInput(MAX_ID_LENGTH + 2).catch(rethrowAbortAsUnfinished)
  return text.replace(/\r?\n$/, '')
}

function describeChange({ users, sessions, entries }: ForgottenPerson): string {
  if (users + sessions + entries === 0) return 'No id of this person is stored.\n'
  return `Replaced by keyed hashes: the ids in ${count(users, 'last logout')} and ${count(sessions, 'session logout')}. Deleted: ${count(entries, 'unattributable entry', 'unattributable entries')}.\n`
}

function describeRemaining(
  { now }: ForgottenPerson,
  { lastLogoutAt, sessions }: NonNullable<ForgottenPerson['remaining']>,
  until: Instant,
): string {
  const user = lastLogoutAt === null ? '' : `a last logout, ${toDateTime(lastLogoutAt)}, and `
  return `What remains, without any id: ${user}${count(sessions, 'session logout')}. Tokens from before them stay revoked.
The worker deletes them ${until > now ? `after ${toDateTime(until)}` : 'within an hour'} (MAX_REFRESH_AGE plus MAX_TOKEN_AGE after the logout).
`
}

function describeNothing(userId: string, asOf: string | null): string {
  const readUpTo =
    asOf === null
      ? 'The log has not been read to its end yet'
      : `The log has been read up to ${asOf}`
  // Every user id of Auth0 contains a pipe. In an unquoted id, the shell interprets the pipe and what follows.
  const quoting = userId.includes('|')
    ? ''
    : "The id contains no |, which the shell interprets unless it is quoted. Quote the id, as in: `last-logout forget 'auth0|123'`\n"
  return `Nothing remains of this person. ${readUpTo}: run this command again if the person may have logged out since.\n${quoting}`
}

function describeOldClients(until: string): string {
  return `A client of release 0.1.0 that starts before ${until} does not receive these logouts from the change
feed, and accepts the person's tokens until they expire. Clients that already run still reject these tokens.
`
}

function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`
}
