import { createServer } from 'node:net'
import { openLoopback } from './loopback.js'

/** Returns a free port of the loopback interface, as text for URLs and arguments. */
export async function findUnusedPort(): Promise<string> {
  const { port, close } = await openLoopback(createServer())
  await close()
  return String(port)
}
