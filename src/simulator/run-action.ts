import { format } from 'node:util'
import { createContext, Script } from 'node:vm'
import { setCustomClaim } from './custom-claims.js'

/** The result of one run of an Action. */
export interface ActionRun {
  accessToken: Record<string, unknown>
  idToken: Record<string, unknown>
  /** The reason with which the Action denied the login or the exchange; `null`: the Action allowed it. */
  denied: string | null
}

/** The function of an Action that handles the post-login trigger. */
export type Action = (event: object, api: object) => Promise<void>

/** The parts of the runtime that a test controls. */
export interface ActionRuntime {
  /** Replaces `Date.now` in the Action. Returns milliseconds since the epoch. */
  now(): number
  /** Receives each line that the Action writes to the console. */
  onLogLine(line: string): void
}

/** The globals that Node.js 18 and 22, the runtimes of Auth0, have in common, without the globals of JavaScript itself. */
const GLOBALS = {
  AbortController,
  AbortSignal,
  Blob,
  Buffer,
  CompressionStream,
  DOMException,
  DecompressionStream,
  Event,
  EventTarget,
  FormData,
  Headers,
  MessageChannel,
  ReadableStream,
  Request,
  Response,
  TextDecoder,
  TextDecoderStream,
  TextEncoder,
  TextEncoderStream,
  TransformStream,
  URL,
  URLSearchParams,
  WritableStream,
  atob,
  btoa,
  clearImmediate,
  clearInterval,
  clearTimeout,
  fetch,
  performance,
  queueMicrotask,
  setImmediate,
  setInterval,
  setTimeout,
  structuredClone,
}

/**
 * Loads an Action in a new context. The context has the globals that Auth0's runtimes have in common, but neither
 * `process` nor `require`.
 *
 * @throws `TypeError` if the code does not export `onExecutePostLogin`.
 */
export function loadAction(code: string, { now, onLogLine }: ActionRuntime): Action {
  const log = (...values: unknown[]) => onLogLine(format(...values))
  const module = { exports: {} as { onExecutePostLogin?: Action } }
  const context = createContext({
    module,
    exports: module.exports,
    console: { debug: log, error: log, info: log, log, warn: log },
    ...GLOBALS,
  })
  new Script('(now) => { Date.now = now }').runInContext(context)(now)
  new Script(code).runInContext(context)
  const { onExecutePostLogin } = module.exports
  if (typeof onExecutePostLogin !== 'function')
    throw new TypeError(
      'the Action exports no function onExecutePostLogin: set exports.onExecutePostLogin in its code',
    )
  return onExecutePostLogin
}

/** Creates the `api` object for one run of an Action. Its methods record the result in `run`. */
export function createActionApi() {
  const run: ActionRun = { accessToken: {}, idToken: {}, denied: null }
  const api = {
    accessToken: { setCustomClaim: setCustomClaim.bind(null, run.accessToken) },
    idToken: { setCustomClaim: setCustomClaim.bind(null, run.idToken) },
    access: {
      deny(reason: string) {
        run.denied = reason
      },
    },
  }
  return { api, run }
}
