import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import dockerignore from '@balena/dockerignore'
import {
  type Copy,
  DockerfileParser,
  type From,
  type Instruction,
  type JSONInstruction,
  type PropertyInstruction,
} from 'dockerfile-ast'
import { createRoot, type Root, runContainer } from './container.js'

const run = promisify(execFile)

/** A stage of a build. The last stage is the image. */
export interface Image {
  /** The base image, as in `node:24-trixie-slim`. */
  base: string
  root: Root
  env: Record<string, string>
  workdir: string
  user: string | undefined
  entrypoint: string[]
  cmd: string[]
  healthcheck: string[]
}

/** The inputs of a build. */
export interface BuildOptions {
  /** The directory that `COPY` copies from. */
  context: string
  /** An empty directory for the roots of the stages. */
  directory: string
  /** The path of the Node.js that replaces that of the base image. */
  node: string
  /** Variables for `RUN` only, such as settings of npm. They are not in the image. */
  buildEnv: Record<string, string>
}

/** The PATH of Debian's base images. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Builds the image of a Dockerfile without a container engine. Each stage has its own root directory, with the programs
 * of this machine.
 *
 * @throws `Error` for an instruction that the Dockerfile of last-logout does not have.
 */
export async function buildImage(dockerfile: string, options: BuildOptions): Promise<Image> {
  const stages = new Map<string, Image>()
  let image: Image | undefined
  for (const instruction of DockerfileParser.parse(dockerfile).getInstructions()) {
    const keyword = instruction.getKeyword()
    if (keyword === 'FROM') {
      image = await openStage(instruction as From, stages.size, options)
      stages.set((instruction as From).getBuildStage() ?? `${stages.size}`, image)
    } else if (image !== undefined) {
      await runStep(instruction, image, stages, options)
    } else if (keyword !== 'ARG') {
      // The parser replaces the variable of an `ARG` before the first `FROM`.
      throw new Error(`${keyword} before FROM`)
    }
  }
  if (image === undefined) throw new Error('the Dockerfile has no FROM')
  return image
}

/** Begins a stage with a new root directory. */
async function openStage(from: From, index: number, options: BuildOptions): Promise<Image> {
  const root = await createRoot(join(options.directory, `stage-${index}`), options.node)
  const [base = ''] = from.getExpandedArguments().map((argument) => argument.getValue())
  const env = { PATH, HOME: '/root' }
  return {
    base,
    root,
    env,
    workdir: '/',
    user: undefined,
    entrypoint: [],
    cmd: [],
    healthcheck: [],
  }
}

/** Runs an instruction of a stage. Changes `image`. */
async function runStep(
  instruction: Instruction,
  image: Image,
  stages: Map<string, Image>,
  { context, buildEnv }: BuildOptions,
): Promise<void> {
  const args = instruction.getArguments().map((argument) => argument.getValue())
  switch (instruction.getKeyword()) {
    case 'WORKDIR':
      image.workdir = resolve(image.workdir, args[0] ?? '')
      await mkdir(join(image.root.path, image.workdir), { recursive: true })
      return
    case 'COPY':
      return copy(instruction as Copy, args, { image, stages, context })
    case 'RUN': {
      const command = instruction.getArgumentsContent() ?? ''
      const env = { ...image.env, ...buildEnv }
      await runContainer(image.root, {
        args: ['/bin/sh', '-c', command],
        env,
        workdir: image.workdir,
      })
      return
    }
    case 'ENV':
      for (const property of (instruction as PropertyInstruction).getProperties()) {
        const value = property.getValue() ?? ''
        // Replaces variables, such as `$PATH`, by their values.
        image.env[property.getName()] = value.replace(
          /\$(\w+)/g,
          (_variable, name) => image.env[name] ?? '',
        )
      }
      return
    case 'USER':
      image.user = args[0]
      return
    case 'HEALTHCHECK': {
      // The command in the exec form after the options, as in `--timeout=5s CMD ["last-logout", "healthcheck"]`.
      const [, json = ''] = /\bCMD (\[.*\])$/.exec(instruction.getArgumentsContent() ?? '') ?? []
      image.healthcheck = JSON.parse(json)
      return
    }
    case 'ENTRYPOINT':
      image.entrypoint = readExecForm(instruction as JSONInstruction)
      return
    case 'CMD':
      image.cmd = readExecForm(instruction as JSONInstruction)
      return
    case 'EXPOSE':
      return
    default:
      throw new Error(`${instruction.getKeyword()} is not supported here`)
  }
}

/** Reads a command in the exec form: an array of strings in JSON, which runs without a shell. */
function readExecForm(instruction: JSONInstruction): string[] {
  const strings = instruction.getJSONStrings().map((text) => text.getJSONValue())
  if (strings.length === 0) throw new Error(`${instruction.getKeyword()} needs the exec form`)
  return strings
}

interface CopyStep {
  image: Image
  stages: Map<string, Image>
  context: string
}

/** Copies files of the context, or of another stage (`--from`), to a directory of the image. */
async function copy(instruction: Copy, args: string[], { image, stages, context }: CopyStep) {
  const sources = args.slice(0, -1)
  const target = resolve(join(image.root.path, image.workdir), args.at(-1) ?? '')
  const stageName = instruction.getFromFlag()?.getValue()
  if (stageName) {
    const stage = stages.get(stageName)
    if (stage === undefined) throw new Error(`there is no stage ${stageName}`)
    // Hard links are fast. No later step changes these files.
    for (const source of sources) {
      await run('cp', ['--archive', '--link', `${join(stage.root.path, source)}/.`, target])
    }
    return
  }
  const files = await listContext(context)
  for (const source of sources) {
    const selected = files.filter((file) => source === '.' || file === source)
    if (selected.length === 0) throw new Error(`COPY ${source}: .dockerignore excludes it`)
    for (const file of selected) {
      await mkdir(dirname(join(target, file)), { recursive: true })
      await copyFile(join(context, file), join(target, file))
    }
  }
}

/** Lists the files of a directory that its `.dockerignore` does not exclude. */
export async function listContext(context: string): Promise<string[]> {
  const text = await readFile(join(context, '.dockerignore'), 'utf8')
  const rules = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const accepts = dockerignore.default().add(rules).createFilter()
  // Large directories such as node_modules are excluded, so this function does not read them. A rule such as
  // `!node_modules/file` would include a file of such a directory, and this function would miss it.
  if (rules.some((rule) => /^!.*\//.test(rule))) throw new Error('a rule includes a nested file')
  const topEntries = (await readdir(context, { withFileTypes: true })).filter(({ name }) =>
    accepts(name),
  )
  const files = await Promise.all(
    topEntries.map(async (entry) => {
      if (!entry.isDirectory()) return [entry.name]
      const inside = await readdir(join(context, entry.name), {
        recursive: true,
        withFileTypes: true,
      })
      return inside
        .filter((found) => !found.isDirectory())
        .map((found) => relative(context, join(found.parentPath, found.name)))
    }),
  )
  return files.flat().filter(accepts).sort()
}
