import { type ActionRun, createActionApi, loadAction } from '../../src/simulator/run-action.js'

/**
 * Runs an Action with an event. Returns its effects and its log lines. `overrides` replaces parts of the argument
 * `api`.
 */
export type RunAction = (
  event: object,
  overrides?: object,
) => Promise<ActionRun & { lines: string[] }>

/**
 * Loads an Action. Each run returns its log lines. Runs must not overlap, because they share the list of log lines.
 *
 * @param now The clock of the Action.
 */
export function loadActionWithLog(code: string, now = Date.now): RunAction {
  let lines: string[] = []
  const action = loadAction(code, { now, onLogLine: (line) => void lines.push(line) })
  return async (event, overrides) => {
    lines = []
    const { api, run } = createActionApi()
    await action(event, { ...api, ...overrides })
    return { ...run, lines }
  }
}
