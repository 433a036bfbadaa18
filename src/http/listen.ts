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
    const message = `cannot listen on port ${port} of ${host} (${error.code})${describeRefusal(error.code, variable)}`
    throw new LastLogoutError('CANNOT_LISTEN', message, { cause: error })
  })
}

/** Why an address cannot be bound, and what to do, by the code of Node.js. */
function describeRefusal(code: unknown, variable: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `: another process listens there; stop it, or set ${variable} to a free port`
    case 'EACCES':
      return `: this user may not use the port; set ${variable} to a port from 1024 on`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return ': HOST is not an address of this machine; set it to one, such as 127.0.0.1 or 0.0.0.0'
    default:
      return `: set ${variable} to a free port, or HOST to an address of this machine`
  }
}
