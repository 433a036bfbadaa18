import { requireInstalled } from './installed.js'

const AsyncFunction = (async () => {}).constructor as FunctionConstructor

/**
 * Runs JavaScript of a document. Its imports load the packages of `requireInstalled`, so it uses the client's package as
 * `npm run build:client` has built it.
 *
 * @param bindings The variables that the snippet uses without defining them.
 */
export async function runSnippet(code: string, bindings: Record<string, unknown>): Promise<void> {
  const body = code.replaceAll(
    /^import (\{.*\}) from '(.*)'$/gm,
    (_line, names: string, module: string) =>
      `const ${names.replaceAll(' as ', ': ')} = require('${module}')`,
  )
  const names = ['require', ...Object.keys(bindings)]
  await new AsyncFunction(...names, body)(requireInstalled, ...Object.values(bindings))
}
