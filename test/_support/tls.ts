import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { joinSockets, openLoopback } from './loopback.js'

/** A self-signed certificate with its key. */
interface Certificate {
  /** Path of the certificate, for clients that trust it. */
  file: string
  /** Path of the key, for servers. */
  keyFile: string
  context: SecureContext
}

/** Creates certificates for a test. */
export interface Certificates {
  /** Creates a certificate with a subject alternative name, such as `IP:127.0.0.1`. */
  create(name: string): Promise<Certificate>
  /** Writes certificates to one file. Returns the path of the file. */
  bundle(...certificates: Certificate[]): Promise<string>
  remove(): Promise<void>
}

/** Creates a temporary directory for certificates. `openssl` must be installed. */
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
      return { file, keyFile: key, context }
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

/** A proxy that terminates TLS, and forwards plain HTTP to a server. */
export interface TlsFront {
  /** The URL of the proxy. It begins with `https:`. */
  url: string
  /** Replaces the certificate, and closes all connections. `plain`: the proxy then serves plain HTTP. */
  present(certificate: Certificate | 'plain'): void
  close(): Promise<void>
}

/** Opens a proxy to the server at `target`, an `http:` URL. */
export async function openTlsFront(
  target: string,
  initial: Certificate | 'plain',
): Promise<TlsFront> {
  const { hostname, port } = new URL(target)
  let certificateInUse = initial
  const server = createServer((socket) => {
    const client =
      certificateInUse === 'plain'
        ? socket
        : new TLSSocket(socket, { isServer: true, secureContext: certificateInUse.context })
    joinSockets(client, connect({ port: Number(port), host: hostname }))
  })
  const { port: proxyPort, disconnect, close } = await openLoopback(server)
  return {
    url: `https://127.0.0.1:${proxyPort}`,
    present(certificate) {
      certificateInUse = certificate
      disconnect()
    },
    close,
  }
}
