import { createContext, Script } from 'node:vm'

/** What an Action did in one run. */
export interface ActionRun {
  accessToken: Record<string, unknown>
  idToken: Record<string, unknown>
  /** The reason of the denial; `null`: none. */
  denied: string | null
}

/** An Action's handler of the post-login trigger. */
export type Action = (event: object, api: object) => Promise<void>

/** What an Action is given by its runtime, beside the globals. */
export interface ActionRuntime {
  /** What its `Date.now` says. */
  now(): number
  /** Takes what it writes to the console. */
  say(line: string): void
}

/** Loads an Action as Auth0 does: into a context that has the runtime's own globals and nothing else. */
export function loadAction(code: string, { now, say }: ActionRuntime): Action {
  const module = { exports: {} as { onExecutePostLogin: Action } }
  const context = createContext({
    module,
    exports: module.exports,
    console: { log: say },
    fetch,
    URL,
    AbortController,
    TextDecoder,
    setTimeout,
    clearTimeout,
  })
  new Script('(now) => { Date.now = now }').runInContext(context)(now)
  new Script(code).runInContext(context)
  return module.exports.onExecutePostLogin
}

/** What an Action is given as `api`, and what becomes of it in `run`. */
export function createActionApi() {
  const run: ActionRun = { accessToken: {}, idToken: {}, denied: null }
  const api = {
    accessToken: toSetter(run.accessToken),
    idToken: toSetter(run.idToken),
    access: {
      deny(reason: string) {
        run.denied = reason
      },
    },
  }
  return { api, run }
}

function toSetter(claims: Record<string, unknown>) {
  return {
    setCustomClaim(name: string, value: unknown) {
      claims[name] = value
    },
  }
}
