import { requireInstalled } from './installed.js'

/** The constructor of async functions. It creates a function from its code. */
const AsyncFunction = (async () => {}).constructor as FunctionConstructor

/**
 * Runs an example in JavaScript from a document. It imports the installed packages, so it uses the client package that
 * `npm run build:client` has built.
 *
 * @param bindings The variables that the example uses but does not define.
 */
export async function runSnippet(code: string, bindings: Record<string, unknown>): Promise<void> {
  // The code becomes the body of a function, which cannot contain imports. `require` replaces them.
  const body = code.replaceAll(
    /^import (\{.*\}) from '(.*)'$/gm,
    (_line, names: string, module: string) =>
      `const ${names.replaceAll(' as ', ': ')} = require('${module}')`,
  )
  const names = ['require', ...Object.keys(bindings)]
  await new AsyncFunction(...names, body)(requireInstalled, ...Object.values(bindings))
}
