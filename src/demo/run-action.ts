import { createContext, Script } from 'node:vm'

/** What an Action did in one run. */
export interface ActionRun {
  accessToken: Record<string, unknown>
  idToken: Record<string, unknown>
  /** The reason of the denial; `null`: none. */
  denied: string | null
  /** What it wrote to the console. */
  lines: string[]
}

/** Runs an Action on an event; `api` replaces parts of what it is given. */
export type RunAction = (event: object, api?: object) => Promise<ActionRun>

/**
 * Loads an Action as Auth0 does: into a context that has the runtime's own globals and nothing else.
 *
 * @param now What its `Date.now` says; without, the time.
 */
export function loadAction(code: string, now = Date.now): RunAction {
  let lines: string[] = []
  const module = {
    exports: {} as { onExecutePostLogin(event: object, api: object): Promise<void> },
  }
  const context = createContext({
    module,
    exports: module.exports,
    console: { log: (line: string) => void lines.push(line) },
    fetch,
    URL,
    AbortController,
    TextDecoder,
    setTimeout,
    clearTimeout,
  })
  new Script('(now) => { Date.now = now }').runInContext(context)(now)
  new Script(code).runInContext(context)
  return async (event, over) => {
    lines = []
    const run: ActionRun = { accessToken: {}, idToken: {}, denied: null, lines }
    const api = {
      accessToken: toSetter(run.accessToken),
      idToken: toSetter(run.idToken),
      access: {
        deny(reason: string) {
          run.denied = reason
        },
      },
      ...over,
    }
    await module.exports.onExecutePostLogin(event, api)
    return run
  }
}

function toSetter(claims: Record<string, unknown>) {
  return {
    setCustomClaim(name: string, value: unknown) {
      claims[name] = value
    },
  }
}
