import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { promisify } from 'node:util'

/** Finds a free port of the loopback interface. Another program can use the port before the caller does. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await promisify(server.close.bind(server))()
  return port
}

/** Whether a program accepts connections on a port of the loopback interface. */
export async function acceptsConnections(port: number): Promise<boolean> {
  if (!(port > 0 && port < 65_536)) return false
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
