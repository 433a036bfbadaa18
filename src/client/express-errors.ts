/** The used part of an Express app. */
interface AppLike {
  /** Express 4. */
  _router?: unknown
  /** Express 5. In Express 4, reading it throws. */
  router?: unknown
  parent?: AppLike
}

/**
 * A layer of an Express router: a handler, a route, or another router. `stack` contains the layers of a route or
 * router.
 */
interface Layer {
  handle?: { length?: number; stack?: unknown }
  route?: { stack?: unknown }
}

/** Express recognizes an error handler by this number of parameters. */
const ERROR_HANDLER_LENGTH = 4

/**
 * Whether an Express app has an error handler. The handler can belong to the app, to one of its routers, or to an app
 * on which this app is mounted. Returns `false` for the app of any other framework.
 */
export function hasErrorHandler(app: unknown): boolean {
  const { _router, parent } = Object(app) as AppLike
  const { stack } = Object(_router ?? Object(app).router)
  return includesErrorHandler(stack) || (parent !== undefined && hasErrorHandler(parent))
}

function includesErrorHandler(stack: unknown): boolean {
  if (!Array.isArray(stack)) return false
  return stack.some(
    ({ handle, route }: Layer) =>
      handle?.length === ERROR_HANDLER_LENGTH ||
      includesErrorHandler(handle?.stack) ||
      includesErrorHandler(route?.stack),
  )
}
