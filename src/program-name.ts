import { basename, delimiter, dirname, isAbsolute, join, relative } from 'node:path'

/** How this process was started. */
export interface ProgramStart {
  /** Path of the script, as Node.js reports it in `argv[1]`. */
  script: string
  cwd: string
  /** The environment variables. npm describes in them how it started the program. */
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

/** Matches the program's name where a message contains a command, such as `last-logout doctor`. */
const COMMAND = new RegExp(
  `(?<![\\w./-])${NAME} (?=(--help|init|uninstall|demo|start|worker|api|sync|status|doctor|explain|logout|forget|floor|action|migrate|healthcheck)\\b)`,
  'g',
)

/**
 * Returns the command that starts this program again from the current directory, such as `last-logout` or `node
 * dist/main.js`. The command contains `npx` only if npx started the program. Otherwise npx would download a package of
 * the same name from the registry.
 *
 * @param isRunning Whether the command will be used while this process is running. If so, and if this process is the
 *   main process of a container, the command enters the container. Later there is no container to enter, because
 *   the container stops with its main process.
 */
export function readProgramName(start: ProgramStart, isRunning: boolean): string {
  const { container } = start
  const name = nameWithoutContainer(start)
  if (container === undefined || container.startedBy === 'shell') return name
  if (container.startedBy === 'run' && !isRunning) return name
  return `${container.engine} exec ${container.id} ${name}`
}

function nameWithoutContainer({ script, cwd, env }: ProgramStart): string {
  const {
    npm_command: npmCommand,
    npm_lifecycle_event: npmScriptName,
    npm_lifecycle_script: npmScript = '',
  } = env
  // npm's variables are inherited by the children of the program. `npmScript` shows whether npm started this program
  // itself, or a parent of it.
  if (npmCommand === 'exec' && /^'?last-logout\b/.test(npmScript)) return `npx ${NAME}`
  // If an npm script only starts this program, the command can be appended as an argument.
  if (
    npmCommand === 'run' &&
    /^(node )?\S*(last-logout|last-logout\.mjs|main\.js)$/.test(npmScript)
  )
    return `npm run ${npmScriptName} --`
  const directory = dirname(script)
  const isNpmLink = directory.endsWith(join('node_modules', '.bin'))
  const isInPath = (env.PATH ?? '').split(delimiter).includes(directory)
  // npm adds `node_modules/.bin` to the PATH of its scripts. The PATH of the user does not contain this directory.
  if (basename(script) === NAME && isInPath && !isNpmLink) return NAME
  const path = relative(cwd, script)
  const isInCwd = !path.startsWith('..') && !isAbsolute(path)
  const quotedPath = quote(isInCwd ? path : script)
  return isNpmLink ? quotedPath : `node ${quotedPath}`
}

/** Quotes a path for a POSIX shell if the path contains special characters. */
function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

/** Replaces `last-logout` by the program's name in all commands that a text contains, so that users can paste them. */
export function nameProgram(text: string, programName: string): string {
  return text.replace(COMMAND, () => `${programName} `)
}
