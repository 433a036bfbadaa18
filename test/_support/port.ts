import { findFreePort } from '../../src/embedded-postgres/loopback-port.js'

/** Returns a free port of the loopback interface, as text for URLs and arguments. */
export async function findUnusedPort(): Promise<string> {
  return String(await findFreePort())
}
