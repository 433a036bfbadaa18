import type * as Client from '../src/client/index.js'

const builtPackage = '../dist/client-package/esm/client/index.js'

/**
 * The client of the built package. The benchmarks measure it instead of the sources, because a TypeScript loader adds
 * code that preserves function names, and that code takes as long as a check.
 */
export const builtClient: typeof Client = await import(builtPackage)
