import { afterAll, beforeAll, describe, test } from 'vitest'
import { toKeyPrefix } from '../../src/jobs/redis.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { runCommand } from '../_support/cli.js'
import { createTestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'
import { sendCommand, startRedisCluster, type TestCluster } from '../_support/redis-cluster.js'
import { readRows } from '../_support/store.js'
import { DOMAIN, openTenant } from '../_support/tenant.js'
import { openCertificates } from '../_support/tls.js'
import { WAIT } from '../_support/wait.js'
import { workerEnv } from '../_support/worker.js'
import { type Context, forbidConsole, startsAgain } from '../jobs/fixture.js'
import { refuses, works } from './compatibility.js'
import { emulate, expectRefusal, expectToWork, startOn, VALKEY } from './redis-queue.js'

forbidConsole()

/** How long a frozen primary may stop the jobs, in milliseconds. */
const MAX_OUTAGE_MS = 30_000

/** Time after which the nodes of a test cluster hold another one for dead, in milliseconds. */
const NODE_TIMEOUT_MS = 3_000

async function openCluster(
  { onTestFinished }: Context,
  options: Parameters<typeof startRedisCluster>[0] = {},
): Promise<TestCluster> {
  const cluster = await startRedisCluster(options)
  onTestFinished(() => cluster.stop())
  return cluster
}

const hostsOf = ({ nodes }: TestCluster) => nodes.map(({ url }) => new URL(url).host)

describe('a worker runs its jobs on a cluster of three', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())

  test(
    'from any of its nodes',
    works('Redis and Valkey', 'Redis Cluster 7.0', '`REDIS_URL` names one node or several'),
    async (context) => {
      for (const { url } of cluster.nodes) await expectToWork(context, url)
    },
  )

  test(
    'of Valkey 8 (emulated)',
    works('Redis and Valkey', 'Valkey 8 cluster *(emulated)*'),
    async (context) => {
      for (const { url } of cluster.nodes) {
        await expectToWork(context, await emulate(context, url, VALKEY))
      }
    },
  )

  test('as a user that may not run dangerous commands, such as INFO', async (context) => {
    for (const { url } of cluster.nodes) {
      await sendCommand(url, 'ACL', 'SETUSER', 'careful', 'on', '>pw', '~*', '+@all', '-@dangerous')
    }
    const url = cluster.nodes[0].url.replace('//', '//careful:pw@')
    await expectToWork(context, url, 'warning')
  })

  test('not as a user that may not read its nodes, until the rule of the message is applied', async (context) => {
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
    await startsAgain(job, 3)
  })

  test(
    'while the first of the nodes in REDIS_URL is dead',
    works('Redis and Valkey', 'a cluster whose first node in `REDIS_URL` is dead'),
    async (context) => {
      const { expect } = context
      const [, second, third] = hostsOf(cluster)
      for (const others of [`${second},${third}`, `redis://${third}`]) {
        const { job, lines } = await startOn(context, `redis://127.0.0.1:1,${others}`)
        await startsAgain(job, 3)
        for (const line of lines('warn')) {
          expect(line).toMatchObject({
            node: '127.0.0.1:1',
            msg: 'redis cluster node unavailable',
          })
        }
      }
    },
  )

  test('unless its nodes announce addresses that are unreachable, which is reported', async (context) => {
    const { expect, onTestFinished } = context
    const announce = async (name: string, type: string) => {
      for (const { url } of cluster.nodes) {
        await sendCommand(url, 'CONFIG', 'SET', 'cluster-announce-hostname', name)
        await sendCommand(url, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type', type)
      }
    }
    // The nodes listen on another address of the loopback interface.
    await announce('127.0.0.2', 'hostname')
    onTestFinished(() => announce('', 'ip'))
    const { url } = cluster.nodes[0]
    const slots = async () => JSON.stringify(await sendCommand(url, 'CLUSTER', 'SLOTS'))
    await expect.poll(slots, WAIT).not.toMatch(/"(\?|127\.0\.0\.1)",\d/)
    const { lines } = await startOn(context, url)
    const isReported = expect.objectContaining({
      msg: 'redis cluster node unavailable',
      node: expect.stringMatching(/^127\.0\.0\.2:/),
      advice: expect.stringMatching(/address that it announces is reachable/),
    })
    await expect.poll(() => lines('warn'), WAIT).toContainEqual(isReported)
    const isDown = expect.objectContaining({ msg: 'job queue unavailable' })
    await expect.poll(() => lines('warn'), WAIT).toContainEqual(isDown)
  })

  test(
    'unless its nodes announce no address',
    refuses(
      'Redis and Valkey',
      'a cluster whose nodes announce no address',
      'exit code 2: set cluster-preferred-endpoint-type',
    ),
    async (context) => {
      const { url } = cluster.nodes[0]
      const set = (value: string) =>
        sendCommand(url, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type', value)
      await set('unknown-endpoint')
      context.onTestFinished(() => set('ip').then(() => undefined))
      await expectRefusal(context, url, /announce no address: set cluster-preferred-endpoint-type/)
    },
  )
})

describe('a cluster with replicas', { concurrent: true }, () => {
  test.for([
    ['every node', (all: string[]) => all.join(',')],
    ['only the frozen node', (_all: string[], frozen: string) => frozen],
  ] as [string, (all: string[], frozen: string) => string][])(
    'is used 30 s after its primary is frozen, where REDIS_URL has %s',
    {
      ...works(
        'Redis and Valkey',
        'a primary of a cluster that is frozen',
        'a replica takes over within 30 s',
      ),
      timeout: 120_000,
    },
    async ([_name, choose], context) => {
      const { annotate, expect } = context
      const args = ['--cluster-node-timeout', `${NODE_TIMEOUT_MS}`]
      const cluster = await openCluster(context, { replicas: true, args })
      const primary = await cluster.primaryOf(toKeyPrefix(DOMAIN))
      const { job, lines } = await startOn(
        context,
        `redis://${choose(hostsOf(cluster), new URL(primary.url).host)}`,
      )
      await startsAgain(job, 3)

      primary.freeze()
      const frozenAt = Date.now()
      const isResumed = () => job.startedAt.slice(-3).every((at) => at > frozenAt + 1_000)
      await expect.poll(isResumed, { timeout: MAX_OUTAGE_MS, interval: 50 }).toBe(true)
      const [firstAt = 0] = job.startedAt.filter((at) => at > frozenAt + 1_000)
      await annotate(`a job ran ${firstAt - frozenAt} ms after the primary was frozen`)
      expect(lines('warn')).toContainEqual(
        expect.objectContaining({ msg: 'job queue unavailable' }),
      )
      await expect
        .poll(() => lines('info'), WAIT)
        .toContainEqual(expect.objectContaining({ msg: 'job queue restored' }))
    },
  )
})

test('a cluster without a primary for the queue is reported with what to check', async (context) => {
  const { expect } = context
  const cluster = await openCluster(context, { args: ['--cluster-node-timeout', '500'] })
  const primary = await cluster.primaryOf(toKeyPrefix(DOMAIN))
  const others = cluster.nodes.filter((node) => node !== primary)
  const { job, lines } = await startOn(
    context,
    `redis://${others.map(({ url }) => new URL(url).host)}`,
  )
  await startsAgain(job)
  await primary.stop()
  const isDown = expect.objectContaining({
    msg: 'job queue unavailable',
    advice: expect.stringContaining('redis-cli --cluster check 127.0.0.1:'),
  })
  await expect.poll(() => lines('warn'), WAIT).toContainEqual(isDown)
})

describe('with TLS,', async () => {
  const certificates = await openCertificates()
  afterAll(() => certificates.remove())

  // The built program: Node loads the trusted certificates when the process starts.
  async function startWorker({ onTestFinished }: Context, redisUrl: string, caFile: string) {
    const database = await createTestDatabase()
    onTestFinished(() => database.drop())
    const t = await openTenant()
    onTestFinished(() => t.close())
    const worker = runCommand(['worker'], {
      ...workerEnv(t, database),
      REDIS_URL: redisUrl,
      NODE_EXTRA_CA_CERTS: caFile,
    })
    onTestFinished(() => worker.kill('SIGKILL'))
    t.tenant.write(buildEntry('slo', { userId: 'auth0|1', sessionId: 'S1' }))
    return {
      worker,
      users: async () => (await readRows(database)).users.map(({ userId }) => userId),
    }
  }

  async function createTls(name: string) {
    return { ...(await certificates.create(name)), host: 'localhost' }
  }

  test('a server is used', async (context) => {
    const { expect, onTestFinished } = context
    const tls = await createTls('DNS:localhost')
    const server = await startRedis({ own: true, tls })
    if ('skip' in server) throw new Error(server.skip)
    onTestFinished(() => server.stop())
    const { worker, users } = await startWorker(context, server.url, tls.file)
    await expect.poll(users, WAIT).toEqual(['auth0|1'])
    expect(worker.output()).not.toMatch(/unavailable/)
  })

  test(
    'a cluster whose nodes announce addresses is used if its certificate is valid for the host of REDIS_URL',
    works(
      'Redis and Valkey',
      'TLS cluster whose nodes announce addresses',
      'the certificate has to contain the host of `REDIS_URL`',
    ),
    async (context) => {
      const { expect } = context
      const tls = await createTls('DNS:localhost')
      const { nodes } = await openCluster(context, { tls })
      const { worker, users } = await startWorker(context, nodes[0].url, tls.file)
      await expect.poll(users, WAIT).toEqual(['auth0|1'])
      expect(worker.output()).not.toMatch(/unavailable/)
    },
  )

  test(
    'a cluster is refused if its certificate is for another host',
    refuses('Redis and Valkey', 'TLS cluster with a certificate for another host', 'exit code 2'),
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
