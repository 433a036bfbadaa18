import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const DRIVERS = resolve('test/consumers/drivers')
const JACKSON = ['annotations', 'core', 'databind'].map(
  (name) => `/usr/share/java/jackson-${name}.jar`,
)

/** A language with an example that checks tokens by `POST /v1/check`. */
export interface Language {
  name: string
  /** The path of the example. */
  example: string
  /** The Debian packages that run it. */
  debianPackages: string
  /**
   * Builds the example with its driver in an empty directory. Returns the command that runs the driver. The driver must
   * trust the certificate in the file `certificate`. The variable `SSL_CERT_FILE` also names this file.
   */
  build(dir: string, certificate: string): Promise<string[]>
}

/**
 * Maximum duration of a check, in milliseconds. After this time, the driver is killed, and later checks fail at once.
 */
const MAX_CHECK_MS = 25_000

const run = promisify(execFile)

/** The languages, in the order of their names. */
export const LANGUAGES: Language[] = [
  {
    name: 'Go',
    example: 'examples/go/lastlogout.go',
    debianPackages: 'golang-go',
    async build(dir) {
      await writeFile(join(dir, 'go.mod'), 'module driver\n\ngo 1.19\n')
      await mkdir(join(dir, 'lastlogout'))
      await copyFile(this.example, join(dir, 'lastlogout', 'lastlogout.go'))
      await copyFile(join(DRIVERS, 'main.go'), join(dir, 'main.go'))
      const { stdout } = await run('gofmt', ['-l', '.'], { cwd: dir })
      if (stdout !== '') throw new Error(`not formatted by gofmt: ${stdout}`)
      await run('go', ['vet', './...'], { cwd: dir })
      await run('go', ['build', '-o', 'driver', '.'], { cwd: dir })
      return [join(dir, 'driver')]
    },
  },
  {
    name: 'Java',
    example: 'examples/java/LastLogout.java',
    debianPackages: 'default-jdk-headless libjackson2-databind-java',
    async build(dir, certificate) {
      const files = [this.example, join(DRIVERS, 'Driver.java')]
      const options = ['-Xlint:all', '-Werror', '-d', dir, '-cp', JACKSON.join(':')]
      await run('javac', [...options, ...files])
      const keystore = join(dir, 'trusted.p12')
      const password = 'changeit'
      const imported = ['-importcert', '-noprompt', '-file', certificate]
      await run('keytool', [...imported, '-keystore', keystore, '-storepass', password])
      const trusted = [
        `-Djavax.net.ssl.trustStore=${keystore}`,
        `-Djavax.net.ssl.trustStorePassword=${password}`,
      ]
      return ['java', ...trusted, '-cp', [dir, ...JACKSON].join(':'), 'Driver']
    },
  },
  {
    name: 'PHP',
    example: 'examples/php/LastLogout.php',
    debianPackages: 'php-cli php-curl',
    async build(_dir, certificate) {
      // Without the extension, every check would be unknown.
      await run('php', ['-r', 'curl_version();'])
      const settings = [`include_path=${resolve('examples/php')}`, `curl.cainfo=${certificate}`]
      return ['php', ...settings.flatMap((setting) => ['-d', setting]), join(DRIVERS, 'driver.php')]
    },
  },
  {
    name: 'Python',
    example: 'examples/python/last_logout.py',
    debianPackages: 'python3',
    async build(dir) {
      await copyFile(this.example, join(dir, 'last_logout.py'))
      await copyFile(join(DRIVERS, 'driver.py'), join(dir, 'driver.py'))
      return ['python3', '-B', join(dir, 'driver.py')]
    },
  },
  {
    name: 'Ruby',
    example: 'examples/ruby/last_logout.rb',
    debianPackages: 'ruby',
    build: async () => ['ruby', '-w', '-I', resolve('examples/ruby'), join(DRIVERS, 'driver.rb')],
  },
]

/** A check that a driver runs. Without a timeout, the driver uses the default of the example. */
export interface DriverCheck {
  url: string
  key: string
  timeoutSeconds: number | null
  claims: object
}

/** A running driver. It keeps its clients until `close`. */
export interface Driver {
  /** Runs a check after the earlier checks have ended. Resolves to its outcome. */
  check(check: DriverCheck): Promise<string>
  /** Returns the standard error of the driver so far. */
  log(): string
  close(): Promise<void>
}

/** Builds and starts the driver of a language. The driver trusts the certificate in a file. */
export async function startDriver(language: Language, certificate: string): Promise<Driver> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-language-'))
  const child = await start(language, dir, certificate).catch((cause) => {
    const message = `the example in ${language.name} cannot be run: \`apt-get install ${language.debianPackages}\` installs what it needs`
    throw new Error(message, { cause })
  })
  let log = ''
  child.stderr.on('data', (chunk) => {
    log += chunk
  })
  const exited = once(child, 'exit')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    async check(check) {
      const timer = setTimeout(() => child.kill('SIGKILL'), MAX_CHECK_MS)
      child.stdin.write(`${JSON.stringify(check)}\n`)
      const { value, done } = await lines.next()
      clearTimeout(timer)
      if (done) throw new Error(`the driver in ${language.name} has ended: ${log}`)
      return value
    },
    log: () => log,
    async close() {
      child.kill('SIGKILL')
      await exited
      await rm(dir, { recursive: true })
    },
  }
}

async function start(language: Language, dir: string, certificate: string) {
  const [command = '', ...args] = await language.build(dir, certificate)
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', SSL_CERT_FILE: certificate }
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  await once(child, 'spawn')
  return child
}
