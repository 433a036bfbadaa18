import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { promisify } from 'node:util'

/** A certificate that has signed itself, with its key. */
interface Certificate {
  /** Where it is, for those who shall trust it. */
  file: string
  context: SecureContext
}

/** Certificates of a test. */
export interface Certificates {
  /** Makes one for a subject alternative name, such as `IP:127.0.0.1`. */
  create(name: string): Promise<Certificate>
  /** One file with all of these. */
  bundle(...certificates: Certificate[]): Promise<string>
  remove(): Promise<void>
}

/** A place for certificates; they are made by `openssl`. */
export async function openCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-tls-'))
  let count = 0
  return {
    async create(name) {
      const [file, key] = [join(dir, `${++count}.pem`), join(dir, `${count}.key`)]
      const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${name}`, '-days', '2']
      const out = ['-keyout', key, '-out', file]
      await promisify(execFile)('openssl', ['req', ...kind, ...subject, ...out])
      const context = createSecureContext({ cert: await readFile(file), key: await readFile(key) })
      return { file, context }
    },
    async bundle(...certificates) {
      const file = join(dir, 'bundle.pem')
      const parts = await Promise.all(certificates.map(({ file }) => readFile(file)))
      await writeFile(file, Buffer.concat(parts))
      return file
    },
    remove: () => rm(dir, { recursive: true }),
  }
}

/** A way to an HTTP server that ends TLS. */
export interface TlsFront {
  /** Begins with `https:`. */
  url: string
  /** From now on it shows this certificate, or speaks no TLS at all. */
  present(certificate: Certificate | 'plain'): void
  close(): Promise<void>
}

/** Opens a way to the server that an `http:` URL names. */
export async function openTlsFront(
  target: string,
  first: Certificate | 'plain',
): Promise<TlsFront> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let shown = first
  const server = createServer((raw) => {
    const near =
      shown === 'plain' ? raw : new TLSSocket(raw, { isServer: true, secureContext: shown.context })
    const far = connect({ port: Number(port), host: hostname })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    present(certificate) {
      shown = certificate
      cut()
    },
    async close() {
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}
