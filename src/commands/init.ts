import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../config/config.js'
import { duration } from '../config/values.js'
import { variables } from '../config/variables.js'
import { abortedError, LastLogoutError } from '../errors.js'
import { nameProgram } from '../program-name.js'
import { ACTION_NAME } from '../rules/action-settings.js'
import type { CommandContext } from './context.js'
import { assertNoFailure, printChecks } from './doctor.js'
import { assertNotTracked, createApiKey, createApiKeys, writeEnvFile } from './env-file.js'
import { escapeControls } from './escape-controls.js'
import { followLogouts } from './first-logout.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'
import { runServe } from './serve.js'

/** The options of `init`. */
export interface InitFlags {
  /** How long to wait for a logout, such as `10m`. */
  wait: string
}

const APPLICATION_INSTRUCTIONS = `In the Auth0 Dashboard:

  1. Applications > Applications > Create Application > Machine to Machine Applications. Name it last-logout.
  2. Select the Auth0 Management API, and authorize it for these two scopes and no others:
       read:logs        to read the log: search for "read:logs", select it
       read:logs_users  to see whose logout an entry is: search for "read:logs_users", select it
  3. The Settings page of the application shows the Domain, the Client ID and the Client Secret.
     With a custom domain, use the canonical domain, such as example.eu.auth0.com.

`

/** Checks that fail if no worker has run for some time. */
const WORKER_CHECKS = new Set(['worker', 'freshness', 'retention'])

/** The parts of the configuration that `init` needs. */
const NEEDS = ['auth0', 'api', 'database'] as const

/** The variables that the user must enter, unless the environment contains them. */
const QUESTIONS: [name: string, question: string][] = [
  ['AUTH0_DOMAIN', 'Domain: '],
  ['AUTH0_CLIENT_ID', 'Client ID: '],
  ['AUTH0_CLIENT_SECRET', 'Client Secret (not shown): '],
]

/**
 * Runs `init`: asks for the credentials, writes `.env`, and runs the checks of `doctor`. Then waits until a user logs
 * out, and shows that the API refuses the user's tokens. If `.env` exists, uses the file. Changes nothing in the
 * tenant.
 */
export async function runInit(context: CommandContext, flags: InitFlags): Promise<void> {
  const { data: timeoutMs, error } = duration('10m', 1).safeParse(flags.wait)
  if (timeoutMs === undefined) {
    throw new LastLogoutError('USAGE', `--wait ${error?.issues[0]?.message}`)
  }
  const env = await configure(context).catch(rethrowAbortAsUnfinished)
  const print = (text: string) => context.print(nameProgram(text, context.programName))
  const time = createTimer(print)
  print('\nChecking the set-up:\n\n')
  await time('doctor', () => check({ ...context, env })).catch(addAdviceToContinue)
  await followFirstLogout({ ...context, env, print }, timeoutMs).catch(rethrowAbortAsUnfinished)
}

/** Writes `.env`, unless it exists. Returns the environment of the next steps, which contains the values of `.env`. */
async function configure(context: CommandContext): Promise<CommandContext['env']> {
  const path = join(context.cwd, '.env')
  await assertNotTracked(context.cwd)
  if (existsSync(path)) {
    const text =
      '.env exists: it is used, and not changed. To enter the values again, move it first: `mv .env .env.old`\n'
    context.print(text)
    // Throws if a value is invalid or missing.
    loadConfig(context.env, NEEDS)
    return context.env
  }
  const isSet = (name: string) => [name, `${name}_FILE`].some((variable) => context.env[variable])
  const values = {
    ...(await askForCredentials(context, isSet)),
    ...(isSet('API_KEYS') ? {} : { API_KEYS: createApiKeys() }),
    ...(isSet('DATABASE_URL') || isSet('DATA_DIR') ? {} : { DATA_DIR: './data' }),
  }
  const env = { ...context.env, ...values }
  // Validates every value before the file is written.
  loadConfig(env, NEEDS)
  writeEnvFile(path, values)
  const names = Object.keys(values).join(', ')
  context.print(`\nWrote ${path}, which only its owner can read: ${names}\n`)
  const inherited = Object.keys(variables).filter((name) => isSet(name) && !(name in values))
  const text = `The environment also contains ${inherited.join(', ')}, which .env does not. Set them wherever last-logout runs, or add them to .env.\n`
  if (inherited.length > 0) context.print(text)
  return env
}

async function askForCredentials(
  context: CommandContext,
  isSet: (name: string) => boolean,
): Promise<Record<string, string>> {
  const values: Record<string, string> = {}
  const questions = QUESTIONS.filter(([name]) => !isSet(name))
  if (questions.length === 0) return values
  context.print(APPLICATION_INSTRUCTIONS)
  const prompt = await context.openPrompt()
  try {
    for (const [name, question] of questions) {
      const value = await prompt.ask(question, name === 'AUTH0_CLIENT_SECRET')
      values[name] = assertStorable(name, value)
    }
  } finally {
    prompt.close()
  }
  return values
}

/** Rejects a value with characters that a shell, or another parser of `.env`, could interpret. */
function assertStorable(name: string, value: string | null): string {
  if (value !== null && /^[\w.~+/=:@-]+$/.test(value)) return value
  const problem = value ? 'contains a character that Auth0 does not use there' : 'is missing'
  const order = QUESTIONS.map(([variable]) => variable).join(', ')
  throw new LastLogoutError(
    'USAGE',
    `${name} ${problem}. Nothing was written. Run \`last-logout init\` again; without a terminal, it reads these values from standard input, one on each line, in this order: ${order}.`,
  )
}

/**
 * Runs the checks of `doctor`. Ignores failures of {@link WORKER_CHECKS}: perhaps no worker has run since an earlier
 * `init`, and the next step starts a worker.
 */
async function check(context: CommandContext): Promise<void> {
  const checks = await printChecks(context, { action: ACTION_NAME })
  assertNoFailure(checks.filter(({ name }) => !WORKER_CHECKS.has(name)))
  if (!checks.some(({ status }) => status === 'failure')) return
  context.print(
    '\nThe checks worker, freshness and retention can fail because no worker has run for some time. The next step starts one.\n',
  )
}

/** Rethrows the error of the checks, with the advice to run `init` again. */
function addAdviceToContinue(error: unknown): never {
  if (!(error instanceof LastLogoutError) || error.code !== 'CHECKS_FAILED') throw error
  const message = `${error.message} Correct .env or the tenant, then run \`last-logout init\` again: it continues with .env. To enter the values again, run \`mv .env .env.old\` first.`
  throw new LastLogoutError('CHECKS_FAILED', message, { cause: error })
}

/** Runs the service until a new logout appears. Then checks that the API refuses a token from before this logout. */
async function followFirstLogout(context: CommandContext, timeoutMs: number): Promise<void> {
  const { env, print } = context
  // No other process uses this key. The keys in API_KEYS can lack the roles that are needed here.
  const apiKey = createApiKey()
  const { auth0, http } = loadConfig(env, NEEDS)
  const keys = http.apiKeys.map(({ name, key, roles }) => `${name}:${key}:${roles.join('+')}`)
  const API_KEYS = [...keys, `init:${apiKey}:feed+check`].join(',')
  const time = createTimer(print)
  const stopping = new AbortController()
  const stop = AbortSignal.any([context.stop, stopping.signal])
  const servingEnv = { LOG_LEVEL: 'warn', ...env, API_KEYS, API_KEYS_FILE: undefined }
  const serving = { ...context, env: servingEnv, stop }
  let isFollowed = false
  print('\nStarting the worker and the API:\n\n')
  await runServe(serving, ['api', 'worker'], async (apiUrl) => {
    const follower = followLogouts({ apiUrl, apiKey, timeoutMs, signal: stop })
    await time('the log is read to its end', follower.waitUntilRead)
    print(
      `\nWaiting for a logout, for up to ${timeoutMs / 1000} s. In a browser, log in to an application of the tenant, and log out.\nOr open https://${auth0.domain}/v2/logout where a user is logged in.\n\n`,
    )
    const logout = await time('a logout is stored', follower.waitForLogout)
    const delay = ((Date.now() - Date.parse(logout.at)) / 1000).toFixed(1)
    print(
      `  row      ${escapeControls(logout.user_id)} logged out at ${logout.at}, ${delay} s ago\n`,
    )
    const isRefused = await time('a token is checked', () => follower.isRefused(logout))
    if (!isRefused) throw notRefusedError(logout.at)
    print('  check    a token of this user from before the logout is refused\n')
    isFollowed = true
    stopping.abort()
  })
  if (!isFollowed) throw abortedError()
  print(
    '\nThe set-up works. To keep it running, run `last-logout start`. API_KEYS in .env has a key for each caller: configure each of your APIs with its own key.\n',
  )
}

function notRefusedError(at: string): LastLogoutError {
  return new LastLogoutError(
    'CHECKS_FAILED',
    `The logout at ${at} is stored, but the API does not refuse a token from before it. Run \`last-logout explain -\` with a token of the user, which shows why.`,
  )
}

/** Creates a function that runs a step and prints its duration. */
function createTimer(print: (text: string) => void) {
  return async <T>(name: string, run: () => Promise<T>): Promise<T> => {
    const startedAt = performance.now()
    const result = await run()
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    print(`  ${seconds.padStart(6)} s ${name}\n`)
    return result
  }
}
