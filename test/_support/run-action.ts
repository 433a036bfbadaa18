import { type ActionRun, createActionApi, loadAction } from '../../src/simulator/run-action.js'

/**
 * Runs an Action with an event. Returns what the Action did, and its log lines. `overrides` replaces functions of
 * `api`, the second argument of the Action.
 */
export type RunAction = (
  event: object,
  overrides?: object,
) => Promise<ActionRun & { logLines: string[] }>

/**
 * Loads an Action. Two runs must not overlap, because they share the list of log lines.
 *
 * @param now The clock of the Action.
 */
export function loadActionWithLog(code: string, now = Date.now): RunAction {
  let logLines: string[] = []
  const action = loadAction(code, { now, onLogLine: (line) => void logLines.push(line) })
  return async (event, overrides) => {
    logLines = []
    const { api, run } = createActionApi()
    await action(event, { ...api, ...overrides })
    return { ...run, logLines }
  }
}

/**
 * Builds the event of an exchange of a refresh token, with the fields that an Enterprise plan adds.
 *
 * @param createdAt The time of the refresh token, in milliseconds since the epoch.
 */
export function buildExchangeEvent(
  { userId, sessionId, createdAt }: { userId: string; sessionId: string; createdAt: number },
  secrets: Record<string, string>,
) {
  return {
    user: { user_id: userId },
    transaction: { protocol: 'oauth2-refresh-token' },
    refresh_token: { session_id: sessionId, created_at: new Date(createdAt).toISOString() },
    secrets,
  }
}
