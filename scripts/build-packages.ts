import { parseArgs } from 'node:util'
import { buildClient } from './packages/build-client.js'
import { buildBundle, buildService } from './packages/build-service.js'
import { buildSimulator } from './packages/build-simulator.js'
import { readSbom } from './packages/bundled-packages.js'
import { packPackages } from './packages/pack.js'

/** The builds by the argument of this script. */
const BUILDS: Record<string, () => Promise<void>> = {
  client: async () => buildClient(await readSbom()),
  service: async () => buildService(await readSbom()),
  simulator: async () => buildSimulator(await readSbom()),
  bundle: async () => buildBundle(await readSbom()),
  all: packPackages,
}

const { positionals } = parseArgs({ allowPositionals: true })
const [buildName = ''] = positionals
const build = BUILDS[buildName]
if (build === undefined)
  throw new Error(`usage: build-packages.ts ${Object.keys(BUILDS).join('|')}`)
await build()
