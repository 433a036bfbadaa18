import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'

const DIRECTORY = '.github/workflows'

const names = await readdir(DIRECTORY)
const parser = await loadParser()

/** Loads GitHub's own parser. It is bundled first, because it imports JSON in a way that only bundlers support. */
async function loadParser(): Promise<typeof import('@actions/workflow-parser')> {
  const dir = await mkdtemp(join(tmpdir(), 'last-logout-workflows-'))
  try {
    const outfile = join(dir, 'parser.mjs')
    const contents = "export * from '@actions/workflow-parser'"
    const stdin = { contents, resolveDir: process.cwd() }
    await build({ stdin, outfile, bundle: true, format: 'esm', logLevel: 'error' })
    return await import(outfile)
  } finally {
    await rm(dir, { recursive: true })
  }
}

/** Parses a workflow, and checks it against the schema of workflows. */
async function parseContent(name: string, content: string) {
  const { context, value } = parser.parseWorkflow(
    { name, content },
    new parser.NoOperationTraceWriter(),
  )
  const template = value && (await parser.convertWorkflowTemplate(context, value))
  return { errors: context.errors.getErrors().map(({ message }) => message), template }
}

describe.each(names)('the workflow %s', (name) => {
  test('a workflow fits the schema of GitHub Actions, and has jobs', async () => {
    const { errors, template } = await parseContent(
      name,
      await readFile(join(DIRECTORY, name), 'utf8'),
    )
    expect(errors).toEqual([])
    expect(template?.jobs.length).toBeGreaterThan(0)
  })

  test('a workflow calls scripts that exist, and its token can only read contents by default', async () => {
    const content = await readFile(join(DIRECTORY, name), 'utf8')
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))
    const called = [...content.matchAll(/npm run ([\w:]+)/g)].map(([, script = '']) => script)
    expect(called.length + [...content.matchAll(/\.ci\/run/g)].length).toBeGreaterThan(0)
    for (const script of called) expect(scripts).toHaveProperty(script)
    expect(content).toMatch(/^permissions:\n {2}contents: read$/m)
  })
})

test('the parser finds a mistake in a workflow', async () => {
  const { errors } = await parseContent('ci.yml', 'on: push\njobs:\n  test:\n    run-on: ubuntu\n')
  expect(errors.join()).toMatch(/run-on/)
})
