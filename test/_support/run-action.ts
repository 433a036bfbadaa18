import { type ActionRun, createActionApi, loadAction } from '../../src/demo/run-action.js'

/** Runs an Action on an event. `over` replaces parts of its `api`. */
export type RunAction = (event: object, over?: object) => Promise<ActionRun & { lines: string[] }>

/** Loads an Action with a clock. Each run returns its log lines with its effects. Runs must not overlap. */
export function loadRecorded(code: string, now = Date.now): RunAction {
  let lines: string[] = []
  const action = loadAction(code, { now, onLogLine: (line) => void lines.push(line) })
  return async (event, over) => {
    lines = []
    const { api, run } = createActionApi()
    await action(event, { ...api, ...over })
    return { ...run, lines }
  }
}
