import { LOOPBACK, openServer } from './open-server.js'

/** A port that no other program can use until `release` is called. */
export interface ReservedPort {
  /** URL of the port. */
  url: string
  /** Frees the port. Can be called more than once. */
  release(): Promise<void>
}

/** Reserves the preferred port. If this port is not free, reserves any free port. */
export async function reservePort(preferredPort: number, host = LOOPBACK): Promise<ReservedPort> {
  const { url, close } = await openServer(preferredPort, host)
  let closing: Promise<void> | undefined
  return {
    url,
    release() {
      closing ??= close()
      return closing
    },
  }
}

/**
 * Returns the preferred port, unless the API has it.
 *
 * @param apiPort The port of the API, if it was given.
 * @returns The port; 0: any free port.
 */
export function preferUnless(apiPort: string | undefined, preferredPort: number): number {
  return Number(apiPort) === preferredPort ? 0 : preferredPort
}
