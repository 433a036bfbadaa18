import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, vi } from 'vitest'
import { startRedis, type TestRedis, type TestRedisOptions } from './redis.js'
import { WAIT } from './wait.js'

const PRIMARY_COUNT = 3

/** A Redis Cluster for tests. */
export interface TestCluster {
  /** All nodes of the cluster: first the three primaries, then their replicas. */
  nodes: [TestRedis, ...TestRedis[]]
  /** Asks the node `from` which primary stores a key, and returns this primary. Default of `from`: the first node. */
  primaryOf(key: string, options?: { from?: TestRedis }): Promise<TestRedis>
  stop(): Promise<void>
}

/** The options of {@link startRedisCluster}. */
export interface TestClusterOptions extends Pick<TestRedisOptions, 'tls' | 'args'> {
  /** Whether each of the three primaries has a replica. Default: false. */
  hasReplicas?: boolean
}

/** Starts a cluster with three primaries. `redis-server` and `redis-cli` must be installed. */
export async function startRedisCluster({
  hasReplicas = false,
  tls,
  args = [],
}: TestClusterOptions = {}): Promise<TestCluster> {
  // By default, a primary waits five seconds before it sends its data to a new replica.
  const nodeArgs = ['--repl-diskless-sync-delay', '0', ...args]
  const nodes: TestRedis[] = []
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())))
  try {
    while (nodes.length < (hasReplicas ? 2 * PRIMARY_COUNT : PRIMARY_COUNT)) {
      const node = await startRedis({
        forceNew: true,
        cluster: 'node',
        args: nodeArgs,
        ...(tls && { tls }),
      })
      if ('skip' in node) throw new Error(node.skip)
      nodes.push(node)
    }
    const ports = nodes.map(({ url }) => new URL(url).port)
    const runCli = (...command: string[]) =>
      redisCli(tls ? ['--tls', '--cacert', tls.file] : [], command)
    const addresses = ports.map((port) => `127.0.0.1:${port}`)
    const createOptions = ['--cluster-replicas', hasReplicas ? '1' : '0', '--cluster-yes']
    runCli('--cluster', 'create', ...addresses, ...createOptions)
    for (const port of ports) {
      while (!runCli('-p', port, 'CLUSTER', 'INFO').includes('cluster_state:ok')) await sleep(20)
    }
    // A replica can replace its primary only after it has copied the data.
    for (const port of ports.slice(PRIMARY_COUNT)) {
      while (!runCli('-p', port, 'INFO', 'replication').includes('master_link_status:up'))
        await sleep(20)
    }
    const [first, ...others] = nodes
    if (!first) throw new Error('no node was started')
    return {
      nodes: [first, ...others],
      stop,
      async primaryOf(key, { from = first } = {}) {
        const fromPort = new URL(from.url).port
        const slot = Number(runCli('-p', fromPort, 'CLUSTER', 'KEYSLOT', key))
        const slotRanges = JSON.parse(runCli('-p', fromPort, '--json', 'CLUSTER', 'SLOTS'))
        // A range is an array of its first slot, its last slot, and the address of the primary.
        const [, , [, port]] = slotRanges.find(([from, to]: number[]) => isWithin(slot, from, to))
        const primary = nodes.find(({ url }) => new URL(url).port === String(port))
        if (!primary) throw new Error(`no node serves ${key}`)
        return primary
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * Waits until another node has replaced the primary that stores a key.
 *
 * @param wait The limit of the wait. The nodes repeat an election that gets no majority.
 */
export async function waitForReplacement(
  { nodes, primaryOf }: TestCluster,
  key: string,
  primary: TestRedis,
  wait = WAIT,
): Promise<void> {
  const from = nodes.find((node) => node !== primary)
  if (from === undefined) throw new Error('the cluster has one node')
  await vi.waitFor(async () => expect(await primaryOf(key, { from })).not.toBe(primary), wait)
}

/** Sends one command to a Redis server, and returns the reply. Throws if the reply is an error. */
export async function sendCommand(url: string, ...command: string[]): Promise<unknown> {
  const [name = '', ...args] = command
  const client = new Redis(url, { retryStrategy: () => null, enableReadyCheck: false })
  client.on('error', () => {})
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}

function isWithin(slot: number, from = 0, to = 0): boolean {
  return slot >= from && slot <= to
}

function redisCli(options: string[], command: string[]): string {
  const { status, stdout, stderr, error } = spawnSync('redis-cli', [...options, ...command], {
    encoding: 'utf8',
  })
  if (error) throw error
  if (status !== 0) throw new Error(`redis-cli ${command.join(' ')}: ${stdout}${stderr}`)
  return stdout
}
