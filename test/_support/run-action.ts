import { type ActionRun, createActionApi, loadAction } from '../../src/demo/run-action.js'

/** Runs an Action on an event; `over` replaces parts of what it is given as `api`. */
export type RunAction = (event: object, over?: object) => Promise<ActionRun & { lines: string[] }>

/** Loads an Action by a clock; what it says comes with what it did. One run at a time. */
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
