import { createContext, Script } from 'node:vm'

/** The result of one run of an Action. */
export interface ActionRun {
  accessToken: Record<string, unknown>
  idToken: Record<string, unknown>
  /** Why the Action denied the login or exchange; `null`: the Action allowed it. */
  denied: string | null
}

/** The function of an Action that handles the post-login trigger. */
export type Action = (event: object, api: object) => Promise<void>

/** The runtime of an Action. */
export interface ActionRuntime {
  /** Replaces `Date.now` of the Action. */
  now(): number
  /** Receives each line that the Action writes to the console. */
  onLogLine(line: string): void
}

/** Loads an Action in a context that has only the globals of Auth0's runtime. */
export function loadAction(code: string, { now, onLogLine }: ActionRuntime): Action {
  const module = { exports: {} as { onExecutePostLogin: Action } }
  const context = createContext({
    module,
    exports: module.exports,
    console: { log: onLogLine },
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

/** Creates the `api` object of one run of an Action. Its methods record the result in `run`. */
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
