import type { FastifyInstance } from 'fastify'
import { LastLogoutError } from '../errors.js'

/** Where to listen, and the variable that says so. */
interface ListenOptions {
  host: string
  port: number
  variable: 'PORT' | 'WORKER_PORT'
}

/** Lets an app listen; returns its URL. Throws `CANNOT_LISTEN`. */
export function listen(
  app: FastifyInstance,
  { host, port, variable }: ListenOptions,
): Promise<string> {
  return app.listen({ host, port }).catch((error) => {
    throw new LastLogoutError(
      'CANNOT_LISTEN',
      `cannot listen on port ${port} of ${host} (${error.code}): set ${variable} or HOST to what is free here`,
      { cause: error },
    )
  })
}
