import { INSTALLATIONS, listExceededBounds, measureInstall, renderSizes } from './packages/size.js'

/** Measures the installation of each package. Fails if it exceeds its upper bounds. */
const sizes = []
for (const installation of INSTALLATIONS) sizes.push(await measureInstall(installation))
process.stdout.write(renderSizes(sizes))

const exceededBounds = sizes.flatMap(listExceededBounds)
for (const line of exceededBounds) process.stderr.write(`${line}\n`)
if (exceededBounds.length > 0) process.exitCode = 1
