import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { joinSockets, openLoopback } from './loopback.js'

/** A self-signed certificate and its private key. */
interface Certificate {
  /** The path of the certificate. Clients that trust it read this file. */
  file: string
  /** The path of the private key. Servers read this file. */
  keyFile: string
  context: SecureContext
}

/** Creates certificates for a test. */
export interface Certificates {
  /** Creates a certificate for a host, such as `IP:127.0.0.1` or `DNS:localhost`. */
  create(subjectAltName: string): Promise<Certificate>
  /** Writes certificates to one file, so that a client can trust all of them. Returns the path of the file. */
  bundle(...certificates: Certificate[]): Promise<string>
  remove(): Promise<void>
}

/** Creates a temporary directory for certificates. The program `openssl` must be installed. */
export async function openCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-tls-'))
  let certificateCount = 0
  return {
    async create(subjectAltName) {
      certificateCount++
      const file = join(dir, `${certificateCount}.pem`)
      const keyFile = join(dir, `${certificateCount}.key`)
      const keyOptions = [
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
      ]
      const subject = [
        '-subj',
        '/CN=test',
        '-addext',
        `subjectAltName=${subjectAltName}`,
        '-days',
        '2',
      ]
      const output = ['-keyout', keyFile, '-out', file]
      await promisify(execFile)('openssl', ['req', ...keyOptions, ...subject, ...output])
      const context = createSecureContext({
        cert: await readFile(file),
        key: await readFile(keyFile),
      })
      return { file, keyFile, context }
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

/** A proxy that accepts HTTPS, and forwards the requests to a server as plain HTTP. */
export interface TlsFront {
  /** The URL of the proxy. It begins with `https:`. */
  url: string
  /** Replaces the certificate, and closes all connections. With `plain`, the proxy accepts plain HTTP from now on. */
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
