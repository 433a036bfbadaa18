import { findExcess, INSTALLATIONS, measureInstall, renderSizes } from './packages/size.js'

const sizes = []
for (const installation of INSTALLATIONS) sizes.push(await measureInstall(installation))
process.stdout.write(renderSizes(sizes))

const excess = sizes.flatMap(findExcess)
for (const line of excess) process.stderr.write(`${line}\n`)
if (excess.length > 0) process.exitCode = 1
