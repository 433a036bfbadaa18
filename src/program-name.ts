import { basename, delimiter, dirname, isAbsolute, join, relative } from 'node:path'

/** How this process was started. */
export interface ProgramStart {
  /** Path of the script, as Node.js reports it in `argv[1]`. */
  script: string
  cwd: string
  /** The environment, in which npm describes how it started the program. */
  env: Record<string, string | undefined>
  /** The container that the process runs in, if any. */
  container?: Container | undefined
}

/** A container. */
interface Container {
  engine: 'docker' | 'podman'
  /** The container's id or name, for commands of the engine. */
  id: string
  /** How this process was started: as the container's main process, by `exec`, or from a shell in the container. */
  startedBy: 'run' | 'exec' | 'shell'
}

const NAME = 'last-logout'

/** Matches the program's name in a command of a message, such as `last-logout doctor`. */
const COMMAND = new RegExp(
  `(?<![\\w./-])${NAME} (?=(--help|init|uninstall|demo|start|worker|api|sync|status|doctor|explain|logout|forget|floor|action|migrate|healthcheck)\\b)`,
  'g',
)

/**
 * Returns the command that starts this program again from the directory where it was started, such as `last-logout`
 * or `node dist/main.js`. The command contains `npx` only if npx started the program: otherwise, npx would download
 * the package of that name from the registry.
 *
 * @param isRunning Whether the command is for use while this process is running. The main process of a container then
 *   returns a command that enters the container. After the main process has ended, the container has stopped, and no
 *   command can enter it.
 */
export function readProgramName(start: ProgramStart, isRunning: boolean): string {
  const { container } = start
  const name = nameWithin(start)
  if (container === undefined || container.startedBy === 'shell') return name
  if (container.startedBy === 'run' && !isRunning) return name
  return `${container.engine} exec ${container.id} ${name}`
}

function nameWithin({ script, cwd, env }: ProgramStart): string {
  const {
    npm_command: npmCommand,
    npm_lifecycle_event: npmScriptName,
    npm_lifecycle_script: npmScript = '',
  } = env
  // A program that npm has started passes npm's variables on to its children. `npmScript` shows whether npm started this
  // program or a parent of it.
  if (npmCommand === 'exec' && /^'?last-logout\b/.test(npmScript)) return `npx ${NAME}`
  // An npm script that only starts this program takes the command as an argument.
  if (
    npmCommand === 'run' &&
    /^(node )?\S*(last-logout|last-logout\.mjs|main\.js)$/.test(npmScript)
  )
    return `npm run ${npmScriptName} --`
  const directory = dirname(script)
  const isLink = directory.endsWith(join('node_modules', '.bin'))
  const isInPath = (env.PATH ?? '').split(delimiter).includes(directory)
  // npm adds the directory of these links to the PATH of its scripts, but not to that of the user.
  if (basename(script) === NAME && isInPath && !isLink) return NAME
  const path = relative(cwd, script)
  const isInCwd = !path.startsWith('..') && !isAbsolute(path)
  const quotedPath = quote(isInCwd ? path : script)
  return isLink ? quotedPath : `node ${quotedPath}`
}

/** Quotes a path for a POSIX shell if the path contains characters that are special in a shell. */
function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

/** Replaces `last-logout` by the program's name in each command that a text contains, so that users can paste it. */
export function nameProgram(text: string, programName: string): string {
  return text.replace(COMMAND, () => `${programName} `)
}
