import { type BenchRun, forkProcess, receiveMessage } from './bench-run.js'
import type { Load, LoadResult } from './load-process.js'

/** A process that sends requests and measures the responses. */
export interface LoadGenerator {
  run(load: Load): Promise<LoadResult>
}

/** Starts a process of `load-process.ts`, which ends with the run. */
export function openLoadGenerator(run: BenchRun): LoadGenerator {
  const child = forkProcess(run, 'load-process.ts', [])
  return {
    async run(load) {
      child.send(load)
      return receiveMessage<LoadResult>(child)
    },
  }
}

/** Two servers under the same load. */
interface Comparison {
  /** The name of the comparison, such as an endpoint. */
  name: string
  apiUrl: string
  /** URL of a bare Fastify server: one without last-logout. */
  peerUrl: string
  rounds: number
  load: Omit<Load, 'url'>
}

/** The ratios of the API to the peer, one for each round. */
interface Ratios {
  /** Ratios of the requests per second. */
  rate: number[]
  /** Ratios of the 99th percentiles of the latency. */
  p99: number[]
}

/** Prints the header of the table to which {@link compareServers} adds rows. */
export function printComparisonHead(): void {
  console.log(
    'endpoint       server         requests/s      p50      p99   CPU share of the load generator',
  )
}

/**
 * Sends requests to both servers alternately, so that other load of the machine affects both equally. Prints each
 * result.
 */
export async function compareServers(
  generator: LoadGenerator,
  { name, apiUrl, peerUrl, rounds, load }: Comparison,
): Promise<Ratios> {
  const ratios: Ratios = { rate: [], p99: [] }
  // Warms both servers up.
  for (const url of [peerUrl, apiUrl]) await generator.run({ ...load, url })
  for (let round = 0; round < rounds; round++) {
    const peer = await generator.run({ ...load, url: peerUrl })
    const measured = await generator.run({ ...load, url: apiUrl })
    printResult(name, 'bare Fastify', peer)
    printResult(name, 'last-logout', measured)
    ratios.rate.push(measured.requestsPerSecond / peer.requestsPerSecond)
    ratios.p99.push(measured.p99Ms / peer.p99Ms)
  }
  return ratios
}

function printResult(name: string, server: string, result: LoadResult): void {
  const { requestsPerSecond, p50Ms, p99Ms, cpuShare } = result
  console.log(
    `${name.padEnd(12)}   ${server.padEnd(12)} ${requestsPerSecond.toFixed(0).padStart(10)}   ` +
      `${p50Ms.toFixed(1).padStart(6)} ms ${p99Ms.toFixed(1).padStart(6)} ms   ${cpuShare.toFixed(2)}`,
  )
}
