import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const DRIVERS_DIR = resolve('test/consumers/drivers')
/** The files of Jackson, a JSON library for Java. */
const JACKSON = ['annotations', 'core', 'databind'].map(
  (name) => `/usr/share/java/jackson-${name}.jar`,
)

/**
 * A language with an example that checks tokens with `POST /v1/check`. For tests, a small program (the driver) calls
 * the example.
 */
export interface Language {
  name: string
  /** The path of the example. */
  example: string
  /** The Debian packages that the example needs. */
  debianPackages: string
  /**
   * Builds the example and its driver in an empty directory. Returns the command that runs the driver. The driver must
   * trust the certificate in the file `certificate`. The variable `SSL_CERT_FILE` contains the path of this file.
   */
  build(dir: string, certificate: string): Promise<string[]>
}

/**
 * Maximum duration of a check, in milliseconds. After this time, the test kills the driver. All later checks then fail
 * at once.
 */
const MAX_CHECK_MS = 25_000

const run = promisify(execFile)

/** The languages in alphabetical order. */
export const LANGUAGES: Language[] = [
  {
    name: 'Go',
    example: 'examples/go/lastlogout.go',
    debianPackages: 'golang-go',
    async build(dir) {
      await writeFile(join(dir, 'go.mod'), 'module driver\n\ngo 1.19\n')
      await mkdir(join(dir, 'lastlogout'))
      await copyFile(this.example, join(dir, 'lastlogout', 'lastlogout.go'))
      await copyFile(join(DRIVERS_DIR, 'main.go'), join(dir, 'main.go'))
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
      const files = [this.example, join(DRIVERS_DIR, 'Driver.java')]
      const options = ['-Xlint:all', '-Werror', '-d', dir, '-cp', JACKSON.join(':')]
      await run('javac', [...options, ...files])
      const keystore = join(dir, 'trusted.p12')
      const password = 'changeit'
      const importOptions = ['-importcert', '-noprompt', '-file', certificate]
      await run('keytool', [...importOptions, '-keystore', keystore, '-storepass', password])
      const trustOptions = [
        `-Djavax.net.ssl.trustStore=${keystore}`,
        `-Djavax.net.ssl.trustStorePassword=${password}`,
      ]
      return ['java', ...trustOptions, '-cp', [dir, ...JACKSON].join(':'), 'Driver']
    },
  },
  {
    name: 'PHP',
    example: 'examples/php/LastLogout.php',
    debianPackages: 'php-cli php-curl',
    async build(_dir, certificate) {
      // This command fails if PHP has no curl extension.
      await run('php', ['-r', 'curl_version();'])
      const settings = [`include_path=${resolve('examples/php')}`, `curl.cainfo=${certificate}`]
      return [
        'php',
        ...settings.flatMap((setting) => ['-d', setting]),
        join(DRIVERS_DIR, 'driver.php'),
      ]
    },
  },
  {
    name: 'Python',
    example: 'examples/python/last_logout.py',
    debianPackages: 'python3',
    async build(dir) {
      await copyFile(this.example, join(dir, 'last_logout.py'))
      await copyFile(join(DRIVERS_DIR, 'driver.py'), join(dir, 'driver.py'))
      return ['python3', '-B', join(dir, 'driver.py')]
    },
  },
  {
    name: 'Ruby',
    example: 'examples/ruby/last_logout.rb',
    debianPackages: 'ruby',
    build: async () => [
      'ruby',
      '-w',
      '-I',
      resolve('examples/ruby'),
      join(DRIVERS_DIR, 'driver.rb'),
    ],
  },
]

/** A check that a driver runs. If `timeoutSeconds` or `namespace` is `null`, the example uses its default. */
export interface DriverCheck {
  url: string
  key: string
  timeoutSeconds: number | null
  namespace: string | null
  claims: object
}

/** A running driver. It reuses the clients of the example until `close`. */
export interface Driver {
  /** Runs a check. Resolves to the outcome of the check. Call it again only after the promise has resolved. */
  check(check: DriverCheck): Promise<string>
  /** Returns the standard error of the driver so far. */
  log(): string
  close(): Promise<void>
}

/**
 * Builds and starts the driver of a language.
 *
 * @param certificate The file with the certificate that the driver trusts.
 * @param enter A command that runs the driver, which is its last arguments. It must replace itself by the driver.
 */
export async function startDriver(
  language: Language,
  certificate: string,
  enter: string[] = [],
): Promise<Driver> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-language-'))
  const child = await buildAndStart(language, dir, { certificate, enter }).catch((cause) => {
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

async function buildAndStart(
  language: Language,
  dir: string,
  { certificate, enter }: { certificate: string; enter: string[] },
) {
  const [command = '', ...args] = [...enter, ...(await language.build(dir, certificate))]
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', SSL_CERT_FILE: certificate }
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  await once(child, 'spawn')
  return child
}
