import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../_support/port.js'

/** A running Caddy. */
export interface Caddy {
  url: string
  close(): Promise<void>
}

/** Starts the Caddy of the Debian package `caddy` in front of a service, with these directives of a site. */
export async function startCaddy(upstream: string, ...directives: string[]): Promise<Caddy> {
  const port = await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-caddy-'))
  const file = join(dir, 'Caddyfile')
  const site = [...directives, `reverse_proxy ${new URL(upstream).host}`]
  await writeFile(
    file,
    `{\n  admin off\n}\nhttp://127.0.0.1:${port} {\n  bind 127.0.0.1\n  ${site.join('\n  ')}\n}\n`,
  )
  const child = spawn('caddy', ['run', '--config', file, '--adapter', 'caddyfile'], {
    env: { ...process.env, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
    stdio: 'ignore',
  })
  const failed = new Promise<never>((_resolve, reject) => {
    const message = 'caddy did not start: install the Debian package caddy'
    child.once('error', (cause) => reject(new Error(message, { cause })))
    child.once('exit', (code) => reject(new Error(`${message} (exit code ${code})`)))
  })
  failed.catch(() => {})
  await Promise.race([failed, untilListening(Number(port))])
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      if (child.exitCode === null) {
        // It would wait for connections that are still open.
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(dir, { recursive: true })
    },
  }
}

/** Resolves when a port of the loopback accepts a connection. */
async function untilListening(port: number): Promise<void> {
  for (const deadline = performance.now() + 20_000; ; ) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isOpen) return
    if (performance.now() > deadline) throw new Error(`nothing listens on port ${port}`)
    await wait(20)
  }
}
