import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { readExample } from '../_support/documents.js'

// Applies the rules of the scrape configuration for Kubernetes to the Pods of deploy/kubernetes, with `promtool`.

interface Pod {
  metadata: { labels: Record<string, string> }
  spec: { containers: { ports?: { name: string }[] }[] }
}

/** A target before and after the rules. A target that the rules drop has no labels after them. */
interface Target {
  labels: Record<string, string>
}

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'last-logout-scrape-'))
})
afterAll(() => rm(directory, { recursive: true }))

/** Returns the target that Prometheus discovers for the Pod of a manifest, as in `static_configs`. */
async function toTarget(name: string): Promise<object> {
  const text = await readFile(`deploy/kubernetes/${name}.yaml`, 'utf8')
  const manifests = parseAllDocuments(text).map((manifest) => manifest.toJS())
  const [pod] = manifests.flatMap(({ spec }): Pod[] => spec.template ?? [])
  if (pod === undefined) throw new Error(`${name}.yaml has no Pod`)
  const prefix = '__meta_kubernetes_pod_'
  const podLabels = Object.entries(pod.metadata.labels).map(([label, value]) => [
    // Prometheus replaces the characters that the name of a label cannot contain.
    `${prefix}label_${label.replace(/\W/g, '_')}`,
    value,
  ])
  const ports = pod.spec.containers.flatMap((container) => container.ports ?? [])
  const portLabels = ports.map((port) => [`${prefix}container_port_name`, port.name])
  const labels = Object.fromEntries([[`${prefix}name`, name], ...podLabels, ...portLabels])
  return { targets: ['127.0.0.1:8080'], labels }
}

test('in Kubernetes, Prometheus scrapes each Pod of an API or a worker under its own name, and no other Pod', async () => {
  const config = parse(await readExample('docs/metrics.md', 'Scrape', 'yaml', 1))
  const [scrape] = config.scrape_configs
  expect(scrape.kubernetes_sd_configs).toEqual([{ role: 'pod' }])
  // The Prometheus of Debian cannot discover Pods.
  delete scrape.kubernetes_sd_configs
  scrape.static_configs = await Promise.all(['api', 'worker', 'migrate'].map(toTarget))
  scrape.authorization.credentials_file = join(directory, 'key')
  await writeFile(scrape.authorization.credentials_file, 'a-key')
  const path = join(directory, 'prometheus.yml')
  await writeFile(path, stringify(config))
  const args = ['check', 'service-discovery', '--timeout=1s', path, scrape.job_name]
  const { stdout } = await promisify(execFile)('promtool', args)
  const targets: Target[] = JSON.parse(stdout)
  expect(targets).toHaveLength(3)
  const instances = targets.flatMap(({ labels: { instance = [] } }) => instance)
  expect(instances.sort()).toEqual(['api', 'worker'])
})
