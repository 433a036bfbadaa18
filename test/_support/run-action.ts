import { type ActionRun, createActionApi, loadAction } from '../../src/simulator/run-action.js'

/** Runs an Action on an event. Returns its effects and the lines that it logged. `over` replaces parts of its `api`. */
export type RunAction = (event: object, over?: object) => Promise<ActionRun & { lines: string[] }>

/**
 * Loads an Action whose runs return the lines that they log. Two runs must not overlap: each would return lines
 * of the other.
 *
 * @param now The clock of the Action.
 */
export function loadActionWithLog(code: string, now = Date.now): RunAction {
  let lines: string[] = []
  const action = loadAction(code, { now, onLogLine: (line) => void lines.push(line) })
  return async (event, over) => {
    lines = []
    const { api, run } = createActionApi()
    await action(event, { ...api, ...over })
    return { ...run, lines }
  }
}
