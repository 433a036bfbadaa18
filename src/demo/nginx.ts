import { constants } from 'node:fs'
import { access, chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Closers } from '../async/closers.js'
import { type Program, spawnProgram } from '../child-program.js'
import { configureNginx, nginxArguments } from './nginx-configuration.js'
import { openServer } from './open-server.js'

/** The configuration that last-logout provides for operators of nginx. */
const CONFIGURATION = fileURLToPath(new URL('../../deploy/gateways/nginx.conf', import.meta.url))

/** Directories in which nginx is often installed. The PATH of a user often lacks these directories. */
export const NGINX_DIRECTORIES = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin']

/** The preferred port of nginx. If this port is not free, any free port is used. */
const PORT = 8000

const START_TIMEOUT_MS = 5_000
const START_CHECK_INTERVAL_MS = 20

/** An API behind nginx: its URL, or the reason why nginx does not run. */
export type ApiBehindNginx = { url: string; problem?: never } | { url?: never; problem: string }

/** The options of {@link openApiBehindNginx}. */
export interface NginxOptions {
  /** The directories in which the demo searches for nginx. */
  directories: readonly string[]
  /** URL of the API of last-logout, and the key of the gateway. */
  apiUrl: string
  key: string
  /** Origin of the page, whose scripts may read the responses. */
  pageOrigin: string
}

/**
 * Opens an API without last-logout behind nginx with the configuration of deploy/gateways. nginx stops when `closers`
 * are closed or this process ends. If nginx is not installed or does not start, the result contains the reason.
 */
export async function openApiBehindNginx(
  options: NginxOptions,
  closers: Closers,
): Promise<ApiBehindNginx> {
  const command = await findNginx(options.directories)
  if (command === null)
    return { problem: 'nginx is not installed: install it, and start the demo again' }
  try {
    return await start(command, options, closers)
  } catch (error) {
    // For example, the container image does not contain the configuration.
    return { problem: `nginx has not started: ${(error as Error).message}` }
  }
}

async function start(
  command: string,
  { apiUrl, key, pageOrigin }: NginxOptions,
  closers: Closers,
): Promise<ApiBehindNginx> {
  const shipped = await readFile(CONFIGURATION, 'utf8')
  const api = await openServer(0)
  closers.push(api.close)
  api.server.on('request', respondWithOrders)

  const directory = await mkdtemp(join(tmpdir(), 'last-logout-demo-nginx-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  // If root starts nginx, its workers run as another user.
  await chmod(directory, 0o711)
  const port = await findPort()
  const configuration = configureNginx(shipped, {
    directory,
    port,
    target: new URL(apiUrl).host,
    upstream: new URL(api.url).host,
    key,
    // The page has another origin, so a browser sends preflight requests. The API responds to them.
    settings: `add_header Access-Control-Allow-Origin ${pageOrigin} always;`,
  })
  const file = join(directory, 'nginx.conf')
  await writeFile(file, configuration, { mode: 0o600 })
  const logFile = join(directory, 'log')
  const log = await open(logFile, 'w')
  const nginx = await spawnProgram([command, ...nginxArguments(directory, file)], log.fd, null)
  await log.close()
  closers.push(nginx.stop)
  const url = `http://127.0.0.1:${port}/orders`
  if (await becomesReady(nginx, url, pageOrigin)) return { url }
  return { problem: `nginx has not started: ${await readLastLine(logFile)}` }
}

async function findNginx(directories: readonly string[]): Promise<string | null> {
  for (const directory of directories) {
    const command = join(directory, 'nginx')
    const isProgram = await access(command, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isProgram) return command
  }
  return null
}

/**
 * Responds to every request without a check, because last-logout has already checked the token for nginx. Permits the
 * page to send tokens.
 */
const respondWithOrders: RequestListener = ({ method }, response) => {
  if (method === 'OPTIONS') {
    response.writeHead(204, {
      'access-control-allow-headers': 'authorization',
      'access-control-max-age': '600',
    })
    return void response.end()
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ orders: ['A-1001', 'A-1002'] }))
}

async function findPort(): Promise<string> {
  const { url, close } = await openServer(PORT)
  await close()
  return new URL(url).port
}

/**
 * Waits until nginx refuses a request without a token. The response contains the origin of the page. If another
 * program has taken the port, its response does not contain this origin.
 */
async function becomesReady(nginx: Program, url: string, pageOrigin: string): Promise<boolean> {
  const signal = AbortSignal.timeout(START_TIMEOUT_MS)
  while (nginx.isRunning() && !signal.aborted) {
    const response = await fetch(url, { signal }).catch(() => null)
    const origin = response?.headers.get('access-control-allow-origin')
    if (response?.status === 401 && origin === pageOrigin) return nginx.isRunning()
    await delay(START_CHECK_INTERVAL_MS)
  }
  return false
}

async function readLastLine(file: string): Promise<string> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.at(-1) || 'it has logged no reason'
}
