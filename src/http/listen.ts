import type { FastifyInstance } from 'fastify'
import { LastLogoutError } from '../errors.js'

/** An address, and the environment variable of its port. */
interface ListenOptions {
  host: string
  port: number
  variable: 'PORT' | 'WORKER_PORT'
}

/**
 * Starts listening.
 *
 * @returns The URL of the app.
 * @throws `CANNOT_LISTEN` when the address cannot be bound.
 */
export function listen(
  app: FastifyInstance,
  { host, port, variable }: ListenOptions,
): Promise<string> {
  return app.listen({ host, port }).catch((error) => {
    throw new LastLogoutError(
      'CANNOT_LISTEN',
      `cannot listen on port ${port} of ${host} (${error.code}): set ${variable} to a free port, or HOST to an address of this machine`,
      { cause: error },
    )
  })
}
