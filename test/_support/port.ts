import { createServer } from 'node:net'
import { openLoopback } from './loopback.js'

/** Finds a free port of the loopback interface. */
export async function freePort(): Promise<string> {
  const { port, close } = await openLoopback(createServer())
  await close()
  return String(port)
}
