import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import type { ForgottenPerson } from '../rules/forgotten-person.js'
import { MAX_ID_LENGTH, readId } from '../rules/id.js'
import { type Instant, toDateTime } from '../rules/instant.js'
import { openStore } from '../service/open-store.js'
import type { CommandContext } from './context.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'

/** Maximum length of standard input: an id with white space around it. */
const MAX_INPUT_LENGTH = MAX_ID_LENGTH + 200

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u

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
  const userId = readId(user === '-' ? await readStandardInput(context) : user)
  // Such an id is that of no user: for example, several lines were pasted.
  if (userId === null || CONTROL.test(userId)) {
    throw new LastLogoutError(
      'USAGE',
      `The user id is invalid: it must be one line of 1 to ${MAX_ID_LENGTH} characters, without control characters.`,
    )
  }
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const { asOf } = await store.readProgress()
    const person = await store.forget(userId)
    const { users, sessions, entries, remaining } = person
    const until = remaining && remaining.newestAt + config.maxRefreshAgeMs + config.maxTokenAgeMs
    const isFound = users + sessions + entries > 0 || remaining !== null
    // An audit record, which is written at every LOG_LEVEL. It must not reveal which person was forgotten.
    log
      .child({ part: 'forget' }, { level: 'info' })
      .info(
        { users, sessions, entries, until: toDateTime(until) },
        isFound ? 'person forgotten' : 'person not found',
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

/** Reads standard input without the white space around it, such as line breaks. */
async function readStandardInput(context: CommandContext): Promise<string> {
  const text = await context.readInput(MAX_INPUT_LENGTH).catch(rethrowAbortAsUnfinished)
  // A longer input is cut off, and the id with it. The complete text is too long for an id.
  return text.length > MAX_INPUT_LENGTH ? text : text.trim()
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
