import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type BuildOptions, build, type Plugin } from 'esbuild'

/** Defines the globals of CommonJS modules. A bundled module can declare the same name again, which `var` allows. */
const COMMONJS_GLOBALS = `import { createRequire as $createRequire } from 'node:module'
import { dirname as $dirname } from 'node:path'
import { fileURLToPath as $fileURLToPath } from 'node:url'
var require = $createRequire(import.meta.url)
var __filename = $fileURLToPath(import.meta.url)
var __dirname = $dirname(__filename)`

/** The options of every bundle: ES modules for Node.js that contain the packages. */
export const BUNDLE_OPTIONS = {
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Some packages depend on the names of their classes. Stack traces contain the names of functions.
  keepNames: true,
  legalComments: 'none',
  banner: { js: COMMONJS_GLOBALS },
  metafile: true,
  logLevel: 'error',
} as const satisfies BuildOptions

/** The code of the executable file, which starts the program. */
const EXECUTABLE = `#!/usr/bin/env node
import './lib/main.mjs'
`

/** Files that the program reads while it runs, at the same paths as in the repository. */
const RUNTIME_FILES = [
  'prisma/migrations',
  'dist/login-action.cjs',
  'src/console/page',
  'src/demo/page',
  'src/web',
]

/** Files of packages that the program serves. npm leaves `node_modules` out of a package, so `packages` holds them. */
const SERVED_FILES = ['uPlot.esm.js', 'uPlot.min.css'].map(
  (name) => `node_modules/uplot/dist/${name}`,
)

/** The file name of Prisma's query compiler in the bundle. */
const QUERY_COMPILER = 'query-compiler.wasm'

const SWAGGER_UI = 'node_modules/@fastify/swagger-ui'

/**
 * Keeps the meaning of relative paths. A module, such as `src/store/migrations.ts`, finds its files relative to its own
 * path. In the bundle, the module is in `lib`, and the files are at the paths of {@link RUNTIME_FILES}. The files of
 * {@link SERVED_FILES} are in `packages`, and those of Swagger UI are in `swagger-ui`.
 */
const keepPaths: Plugin = {
  name: 'keep-paths',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const file = relative(process.cwd(), path).split(sep).join('/')
      if (!file.startsWith('src/')) return null
      const originalUrl = `new URL(${JSON.stringify(`../${file}`)}, import.meta.url).href`
      const code = await readFile(path, 'utf8')
      const contents = code
        .replaceAll('import.meta.url', originalUrl)
        .replaceAll("'../../node_modules/", "'../../packages/")
      return { contents, loader: 'ts' }
    })
    onLoad({ filter: /@fastify\/swagger-ui\/(index|lib\/[\w-]+)\.js$/ }, async ({ path }) => {
      const [, subdirectory = ''] = /swagger-ui\/(lib\/)?[\w-]+\.js$/.exec(path) ?? []
      const copiedDirectory = `require('node:path').join(__dirname, '../swagger-ui/${subdirectory}')`
      return {
        contents: (await readFile(path, 'utf8')).replaceAll('__dirname', copiedDirectory),
        loader: 'js',
      }
    })
  },
}

/**
 * Writes Prisma's query compiler to a file, and makes the bundle read this file. Prisma's own module contains the query
 * compiler as base64 text. This text would stay in memory twice: as the code of the module and as a string.
 */
const writeQueryCompiler = (directory: string): Plugin => ({
  name: 'write-query-compiler',
  setup({ onLoad }) {
    onLoad({ filter: /query_compiler_\w+\.postgresql\.wasm-base64\.mjs$/ }, async ({ path }) => {
      const { wasm } = (await import(pathToFileURL(path).href)) as { wasm: string }
      await writeFile(join(directory, QUERY_COMPILER), Buffer.from(wasm, 'base64'))
      const contents = `import { readFileSync } from 'node:fs'
export const wasm = readFileSync(new URL('../${QUERY_COMPILER}', import.meta.url))`
      return { contents, loader: 'js' }
    })
  },
})

/**
 * Bundles the program and all files that it needs into `directory`. `last-logout.mjs` starts the program. `lib`
 * contains the code. Each part that the program loads separately is one file.
 *
 * @param externalPackages Packages that are not bundled, but remain dependencies.
 * @returns The directories of the bundled packages, such as `node_modules/fastify`.
 */
export async function bundleProgram(
  directory: string,
  externalPackages: string[],
): Promise<string[]> {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  const { metafile } = await build({
    entryPoints: ['src/main.ts'],
    outdir: join(directory, 'lib'),
    outExtension: { '.js': '.mjs' },
    ...BUNDLE_OPTIONS,
    minifySyntax: true,
    minifyWhitespace: true,
    // `pg-native` is an optional dependency of `pg`, and not installed.
    external: [...externalPackages, 'pg-native'],
    plugins: [keepPaths, writeQueryCompiler(directory)],
  })
  await writeFile(join(directory, 'last-logout.mjs'), EXECUTABLE, { mode: 0o755 })
  for (const path of RUNTIME_FILES) await cp(path, join(directory, path), { recursive: true })
  for (const path of SERVED_FILES)
    await cp(path, join(directory, path.replace('node_modules', 'packages')))
  await cp(join(SWAGGER_UI, 'static'), join(directory, 'swagger-ui/static'), { recursive: true })
  return listPackages([...Object.keys(metafile.inputs), ...SERVED_FILES])
}

/** Returns the directories of the packages to which these files belong. */
export function listPackages(files: string[]): string[] {
  const directories = files.flatMap(
    (file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? [],
  )
  return [...new Set(directories)].sort()
}
