import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'

/** Defines the globals that CommonJS modules use. It uses `var`, because a bundled module can declare the same name. */
const COMMONJS_GLOBALS = `import { createRequire as $createRequire } from 'node:module'
import { dirname as $dirname } from 'node:path'
import { fileURLToPath as $fileURLToPath } from 'node:url'
var require = $createRequire(import.meta.url)
var __filename = $fileURLToPath(import.meta.url)
var __dirname = $dirname(__filename)`

/** The options of every bundle: ES modules for Node.js, with the packages inside. */
export const BUNDLE_OPTIONS = {
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Packages choose behaviour by the names of their classes, and stack traces contain names.
  keepNames: true,
  legalComments: 'none',
  banner: { js: COMMONJS_GLOBALS },
  metafile: true,
  logLevel: 'error',
} as const satisfies BuildOptions

/** The code of the executable, which starts the program. */
const ENTRY = `#!/usr/bin/env node
import './lib/main.mjs'
`

/** Files that the program reads while it runs, at the same paths as in the repository. */
const FILES = [
  'prisma/migrations',
  'dist/login-action.cjs',
  'src/console/page',
  'src/demo/page',
  'src/web',
]

/** Files of packages that the program serves. npm leaves `node_modules` out of a package, so they are in `packages`. */
const SERVED_FILES = ['uPlot.esm.js', 'uPlot.min.css'].map(
  (name) => `node_modules/uplot/dist/${name}`,
)

const SWAGGER_UI = 'node_modules/@fastify/swagger-ui'

/**
 * Keeps the meaning of relative paths. A module, such as `src/store/migrations.ts`, finds its files relative to its own
 * path. In the bundle, the module is in `lib`, and the files are at the paths of {@link FILES}.
 */
const keepPaths: Plugin = {
  name: 'keep-paths',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const file = relative(process.cwd(), path).split(sep).join('/')
      if (!file.startsWith('src/')) return null
      const own = `new URL(${JSON.stringify(`../${file}`)}, import.meta.url).href`
      const code = await readFile(path, 'utf8')
      const contents = code
        .replaceAll('import.meta.url', own)
        .replaceAll("'../../node_modules/", "'../../packages/")
      return { contents, loader: 'ts' }
    })
    onLoad({ filter: /@fastify\/swagger-ui\/(index|lib\/[\w-]+)\.js$/ }, async ({ path }) => {
      const [, subdirectory = ''] = /swagger-ui\/(lib\/)?[\w-]+\.js$/.exec(path) ?? []
      const own = `require('node:path').join(__dirname, '../swagger-ui/${subdirectory}')`
      return { contents: (await readFile(path, 'utf8')).replaceAll('__dirname', own), loader: 'js' }
    })
  },
}

/**
 * Bundles the program into `directory`, with all that it needs: `last-logout.mjs` starts it, `lib` holds the code in
 * one file for each part that is loaded separately.
 *
 * @param external Packages that stay outside, as dependencies of the bundle.
 * @returns The directories of the packages inside, such as `node_modules/fastify`.
 */
export async function bundleProgram(directory: string, external: string[]): Promise<string[]> {
  await rm(directory, { recursive: true, force: true })
  const { metafile } = await build({
    entryPoints: ['src/main.ts'],
    outdir: join(directory, 'lib'),
    outExtension: { '.js': '.mjs' },
    ...BUNDLE_OPTIONS,
    minifySyntax: true,
    minifyWhitespace: true,
    external: [...external, 'pg-native'],
    plugins: [keepPaths],
  })
  await writeFile(join(directory, 'last-logout.mjs'), ENTRY, { mode: 0o755 })
  for (const path of FILES) await cp(path, join(directory, path), { recursive: true })
  for (const path of SERVED_FILES)
    await cp(path, join(directory, path.replace('node_modules', 'packages')))
  await cp(join(SWAGGER_UI, 'static'), join(directory, 'swagger-ui/static'), { recursive: true })
  return listPackages([...Object.keys(metafile.inputs), ...SERVED_FILES])
}

/** Returns the directories of the packages that these files belong to. */
export function listPackages(files: string[]): string[] {
  const directories = files.flatMap(
    (file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? [],
  )
  return [...new Set(directories)].sort()
}
