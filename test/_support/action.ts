import { readFile } from 'node:fs/promises'
import { createContext, Script } from 'node:vm'
import type { PostLoginApi } from '../../src/action/event.js'

const FILE = 'dist/login-action.cjs'

/** What an Action did in one run. */
interface ActionRun {
  accessToken: Record<string, unknown>
  idToken: Record<string, unknown>
  /** The reason of the denial; `null`: none. */
  denied: string | null
  lines: string[]
}

/** Runs an Action on an event. */
export type RunAction = (event: object, api?: Partial<PostLoginApi>) => Promise<ActionRun>

/** The Action as it is shipped; it is built once a run, since others read the file while they run. */
export function readAction(): Promise<string> {
  return readFile(FILE, 'utf8')
}

/** Loads an Action as Auth0 does: into a context that has the runtime's own globals and nothing else. */
export function loadAction(code: string): RunAction {
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
  new Script(code).runInContext(context)
  return async (event, over) => {
    lines = []
    const run: ActionRun = { accessToken: {}, idToken: {}, denied: null, lines }
    const setter = (claims: Record<string, unknown>) => ({
      setCustomClaim(name: string, value: unknown) {
        claims[name] = value
      },
    })
    const api = {
      accessToken: setter(run.accessToken),
      idToken: setter(run.idToken),
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
