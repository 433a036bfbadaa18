import { afterAll, beforeAll, describe, test } from 'vitest'
import { toKeyPrefix } from '../../src/jobs/redis.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { runCommand } from '../_support/cli.js'
import { createTestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'
import {
  sendCommand,
  startRedisCluster,
  type TestCluster,
  waitForReplacement,
} from '../_support/redis-cluster.js'
import { readRows } from '../_support/store.js'
import { DOMAIN, openTenant } from '../_support/tenant.js'
import { openCertificates } from '../_support/tls.js'
import { WAIT } from '../_support/wait.js'
import { workerEnv } from '../_support/worker.js'
import { type Context, forbidConsole, waitForStarts } from '../jobs/fixture.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'
import { emulate, expectRefusal, expectToWork, startOn, VALKEY } from './redis-queue.js'

/*
 * The schedule of the worker's jobs can be in a Redis Cluster. Most tests start a job that runs ten times per second,
 * and check that it runs, or what the worker reports.
 */

forbidConsole()

/** The wait until a replica has replaced a frozen primary. In milliseconds. */
const ELECTION_WAIT = { timeout: 60_000, interval: 250 }

/** Time without a response after which the nodes of a test cluster consider a node dead, in milliseconds. */
const NODE_TIMEOUT_MS = 3_000

/** Starts a cluster of three primaries until the end of the test. */
async function openCluster(
  { onTestFinished }: Context,
  options: Parameters<typeof startRedisCluster>[0] = {},
): Promise<TestCluster> {
  const cluster = await startRedisCluster(options)
  onTestFinished(() => cluster.stop())
  return cluster
}

/** Returns the host and port of each node. */
const hostsOf = ({ nodes }: TestCluster) => nodes.map(({ url }) => new URL(url).host)

describe('on a cluster of three nodes', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())

  test(
    'a worker runs its jobs with the URL of any node',
    listedAsWorking(
      'Redis and Valkey',
      'Redis Cluster 7.0',
      '`REDIS_URL` names one node or several',
    ),
    async (context) => {
      for (const { url } of cluster.nodes) await expectToWork(context, url)
    },
  )

  test(
    'a worker runs its jobs on Valkey 8 (emulated)',
    listedAsWorking('Redis and Valkey', 'Valkey 8 cluster *(emulated)*'),
    async (context) => {
      for (const { url } of cluster.nodes) {
        await expectToWork(context, await emulate(context, url, VALKEY))
      }
    },
  )

  test('a worker runs its jobs as a user without dangerous commands such as INFO, and doctor reports a warning', async (context) => {
    // The user `careful` has the password `pw`, and may access all keys (`~*`).
    for (const { url } of cluster.nodes) {
      await sendCommand(url, 'ACL', 'SETUSER', 'careful', 'on', '>pw', '~*', '+@all', '-@dangerous')
    }
    const url = cluster.nodes[0].url.replace('//', '//careful:pw@')
    await expectToWork(context, url, 'warning')
  })

  test('a worker waits while its user may not read the nodes of the cluster, and runs its jobs after the ACL rule of its warning is applied', async (context) => {
    const { expect } = context
    for (const { url } of cluster.nodes) {
      await sendCommand(url, 'ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-cluster')
    }
    const url = cluster.nodes[0].url.replace('//', '//blind:pw@')
    const { job, lines } = await startOn(context, url)
    await expect
      .poll(() => lines('warn'), WAIT)
      .toMatchObject([{ advice: expect.stringContaining("'+cluster|slots'") }])
    for (const node of cluster.nodes) {
      await sendCommand(node.url, 'ACL', 'SETUSER', 'blind', '+cluster|slots')
    }
    await waitForStarts(job, 3)
  })

  test(
    'a worker runs its jobs if the first node in REDIS_URL is dead',
    listedAsWorking('Redis and Valkey', 'a cluster whose first node in `REDIS_URL` is dead'),
    async (context) => {
      const { expect } = context
      const [, second, third] = hostsOf(cluster)
      // No server listens on this port.
      const deadNode = '127.0.0.1:1'
      // REDIS_URL may name further nodes with or without a scheme.
      for (const otherNodes of [`${second},${third}`, `redis://${third}`]) {
        const { job, lines } = await startOn(context, `redis://${deadNode},${otherNodes}`)
        await waitForStarts(job, 3)
        for (const line of lines('warn')) {
          expect(line).toMatchObject({
            node: deadNode,
            msg: 'redis cluster node unavailable',
          })
        }
      }
    },
  )

  test('a worker reports nodes that announce unreachable addresses, and that the queue is unavailable', async (context) => {
    const { expect, onTestFinished } = context
    const setAnnouncedName = async (name: string, type: string) => {
      for (const { url } of cluster.nodes) {
        await sendCommand(url, 'CONFIG', 'SET', 'cluster-announce-hostname', name)
        await sendCommand(url, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type', type)
      }
    }
    // The nodes do not listen on this address of the loopback interface.
    await setAnnouncedName('127.0.0.2', 'hostname')
    onTestFinished(() => setAnnouncedName('', 'ip'))
    const { url } = cluster.nodes[0]
    // The nodes announce their names to each other after some time. Until then, CLUSTER SLOTS contains "?" or the
    // previous address in the place of a name.
    const readSlots = async () => JSON.stringify(await sendCommand(url, 'CLUSTER', 'SLOTS'))
    await expect.poll(readSlots, WAIT).not.toMatch(/"(\?|127\.0\.0\.1)",\d/)
    const { lines } = await startOn(context, url)
    const nodeWarning = expect.objectContaining({
      msg: 'redis cluster node unavailable',
      node: expect.stringMatching(/^127\.0\.0\.2:/),
      advice: expect.stringMatching(/address that it announces is reachable/),
    })
    await expect.poll(() => lines('warn'), WAIT).toContainEqual(nodeWarning)
    const queueWarning = expect.objectContaining({ msg: 'job queue unavailable' })
    await expect.poll(() => lines('warn'), WAIT).toContainEqual(queueWarning)
  })

  test(
    'a worker refuses a cluster whose nodes announce no address',
    listedAsRefused(
      'Redis and Valkey',
      'a cluster whose nodes announce no address',
      'exit code 2: set cluster-preferred-endpoint-type',
    ),
    async (context) => {
      const { url } = cluster.nodes[0]
      const setEndpointType = (value: string) =>
        sendCommand(url, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type', value)
      await setEndpointType('unknown-endpoint')
      context.onTestFinished(async () => void (await setEndpointType('ip')))
      await expectRefusal(context, url, /announce no address: set cluster-preferred-endpoint-type/)
    },
  )
})

describe('a cluster with replicas', { concurrent: true }, () => {
  test.for([
    ['every node', (allHosts) => allHosts.join(',')],
    ['only the frozen node', (_allHosts, frozenHost) => frozenHost],
  ] as [name: string, chooseHosts: (allHosts: string[], frozenHost: string) => string][])(
    'a worker continues within 20 s after a replica has replaced its frozen primary if REDIS_URL names %s',
    {
      ...listedAsWorking(
        'Redis and Valkey',
        'a primary of a cluster that is frozen',
        'jobs run within 20 s after a replica has replaced it',
      ),
      timeout: 180_000,
    },
    async ([_name, chooseHosts], context) => {
      const { annotate, expect } = context
      const args = ['--cluster-node-timeout', `${NODE_TIMEOUT_MS}`]
      const cluster = await openCluster(context, { hasReplicas: true, args })
      const key = toKeyPrefix(DOMAIN)
      const primary = await cluster.primaryOf(key)
      const { job, lines } = await startOn(
        context,
        `redis://${chooseHosts(hostsOf(cluster), new URL(primary.url).host)}`,
      )
      await waitForStarts(job, 3)

      primary.freeze()
      const frozenAt = Date.now()
      await waitForReplacement(cluster, key, primary, ELECTION_WAIT)
      const replacedAt = Date.now()
      // Waits up to 20 s. The frozen primary cannot have started these runs.
      await waitForStarts(job, 3)
      await annotate(
        `a replica replaced the primary after ${replacedAt - frozenAt} ms, and jobs ran ${Date.now() - replacedAt} ms later`,
      )
      expect(lines('warn')).toContainEqual(
        expect.objectContaining({ msg: 'job queue unavailable' }),
      )
      await expect
        .poll(() => lines('info'), WAIT)
        .toContainEqual(expect.objectContaining({ msg: 'job queue restored' }))
    },
  )
})

test('a worker reports that the primary of the queue is dead and has no replica, and how to check the cluster', async (context) => {
  const { expect } = context
  // After 500 ms without a response, the nodes consider a node dead.
  const cluster = await openCluster(context, { args: ['--cluster-node-timeout', '500'] })
  const primary = await cluster.primaryOf(toKeyPrefix(DOMAIN))
  const otherNodes = cluster.nodes.filter((node) => node !== primary)
  const { job, lines } = await startOn(
    context,
    `redis://${otherNodes.map(({ url }) => new URL(url).host)}`,
  )
  await waitForStarts(job)
  await primary.stop()
  const queueWarning = expect.objectContaining({
    msg: 'job queue unavailable',
    advice: expect.stringContaining('redis-cli --cluster check 127.0.0.1:'),
  })
  await expect.poll(() => lines('warn'), WAIT).toContainEqual(queueWarning)
})

describe('with TLS', async () => {
  const certificates = await openCertificates()
  afterAll(() => certificates.remove())

  /**
   * Starts the built program `worker` until the end of the test. It is another process, because Node.js reads
   * NODE_EXTRA_CA_CERTS only when a process starts. The log of its tenant contains a logout of `auth0|1`.
   *
   * @param caFile The file with the certificate to trust.
   * @returns The process, and a function that reads the users whose logouts are stored.
   */
  async function startWorker({ onTestFinished }: Context, redisUrl: string, caFile: string) {
    const database = await createTestDatabase()
    onTestFinished(() => database.drop())
    const testTenant = await openTenant()
    onTestFinished(() => testTenant.close())
    const worker = runCommand(['worker'], {
      ...workerEnv(testTenant, database),
      REDIS_URL: redisUrl,
      NODE_EXTRA_CA_CERTS: caFile,
    })
    onTestFinished(() => worker.kill('SIGKILL'))
    testTenant.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))
    return {
      worker,
      readUsers: async () => (await readRows(database)).users.map(({ userId }) => userId),
    }
  }

  /** Creates the TLS options of servers on `localhost`, with a certificate for `name`, such as `DNS:localhost`. */
  async function createTls(name: string) {
    return { ...(await certificates.create(name)), host: 'localhost' }
  }

  test('a worker uses a single Redis server with a trusted certificate', async (context) => {
    const { expect, onTestFinished } = context
    const tls = await createTls('DNS:localhost')
    const server = await startRedis({ forceNew: true, tls })
    if ('skip' in server) throw new Error(server.skip)
    onTestFinished(() => server.stop())
    const { worker, readUsers } = await startWorker(context, server.url, tls.file)
    await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
    expect(worker.output()).not.toMatch(/unavailable/)
  })

  test(
    'a worker uses a cluster whose nodes announce IP addresses if their certificate is for the host of REDIS_URL',
    listedAsWorking(
      'Redis and Valkey',
      'TLS cluster whose nodes announce addresses',
      'the certificate has to contain the host of `REDIS_URL`',
    ),
    async (context) => {
      const { expect } = context
      const tls = await createTls('DNS:localhost')
      const { nodes } = await openCluster(context, { tls })
      const { worker, readUsers } = await startWorker(context, nodes[0].url, tls.file)
      await expect.poll(readUsers, WAIT).toEqual(['auth0|1'])
      expect(worker.output()).not.toMatch(/unavailable/)
    },
  )

  test(
    'a worker refuses a cluster whose certificate is for another host',
    listedAsRefused(
      'Redis and Valkey',
      'TLS cluster with a certificate for another host',
      'exit code 2',
    ),
    async (context) => {
      const { expect } = context
      const tls = await createTls('DNS:elsewhere.example')
      const { nodes } = await openCluster(context, { tls })
      const { worker } = await startWorker(context, nodes[0].url, tls.file)
      expect(await worker.exited).toBe(2)
      expect(worker.stderr()).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID.*NODE_EXTRA_CA_CERTS/)
    },
  )
})
