import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { LANGUAGES, type Language, startDriver } from '../_support/languages.js'
import { KEY } from '../_support/served-api.js'
import { type Certificates, openCertificates } from '../_support/tls.js'

/** The address of a name server that never responds. No program of this machine uses this address. */
const SILENT_NAME_SERVER = '127.53.53.53'
/** Without a limit of the example, a look-up lasts a minute. The driver is killed before. */
const SLOW = 'options timeout:30 attempts:2'
/** The options of docs/resource-servers.md for PHP, which cannot interrupt a look-up. */
const LIMITED = 'options timeout:1 attempts:1'

/** Replaces /etc/resolv.conf by the file in the first argument, for the command in the others. */
const ENTER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
const UNSHARE = ['unshare', '--mount']
/** Only root can open port 53 and mount a file. */
const isPermitted = spawnSync('unshare', ['--mount', 'true']).status === 0

let certificates: Certificates
let certificate: string
let dir: string
const nameServer = createSocket({ type: 'udp4', reuseAddr: true })
beforeAll(async () => {
  certificates = await openCertificates()
  certificate = (await certificates.create('IP:127.0.0.1')).file
  dir = await mkdtemp(join(tmpdir(), 'last-logout-names-'))
  if (!isPermitted) return
  nameServer.bind(53, SILENT_NAME_SERVER)
  await once(nameServer, 'listening')
})
afterAll(async () => {
  nameServer.close()
  await rm(dir, { recursive: true })
  await certificates.remove()
})

/** Starts a driver whose machine has only the silent name server. */
async function startWithoutNames(language: Language) {
  const file = join(dir, `${language.name}.conf`)
  const options = language.name === 'PHP' ? LIMITED : SLOW
  await writeFile(file, `nameserver ${SILENT_NAME_SERVER}\n${options}\n`)
  const driver = await startDriver(language, certificate, [...UNSHARE, 'sh', '-c', ENTER, file])
  onTestFinished(() => driver.close())
  return driver
}

test.skipIf(!isPermitted).each(LANGUAGES)(
  'the example in $name returns unknown after its timeout while no name server responds',
  async (language) => {
    const driver = await startWithoutNames(language)
    const check = { key: KEY, timeoutSeconds: null, namespace: null, claims: { sub: 'u', iat: 1 } }
    expect(await driver.check({ url: 'http://last-logout.example:8080', ...check })).toBe('unknown')
  },
  120_000,
)
