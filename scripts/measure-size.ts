import { findExcess, measureInstall, renderSizes, WAYS } from './packages/size.js'

const sizes = []
for (const way of WAYS) sizes.push(await measureInstall(way))
process.stdout.write(renderSizes(sizes))

const excess = sizes.flatMap(findExcess)
for (const line of excess) process.stderr.write(`${line}\n`)
if (excess.length > 0) process.exitCode = 1
