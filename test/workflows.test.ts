import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'

const DIRECTORY = '.github/workflows'

const fileNames = await readdir(DIRECTORY)
const parser = await loadParser()

/**
 * Loads GitHub's own parser of workflows. Bundles it first, because it imports JSON in a way that Node.js does not
 * support.
 */
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

/** Parses a workflow. Returns the violations of the schema of workflows, and the workflow. */
async function parseWorkflow(fileName: string, content: string) {
  const { context, value } = parser.parseWorkflow(
    { name: fileName, content },
    new parser.NoOperationTraceWriter(),
  )
  const template = value && (await parser.convertWorkflowTemplate(context, value))
  return { errors: context.errors.getErrors().map(({ message }) => message), template }
}

describe.each(fileNames)('the workflow %s', (fileName) => {
  test('the workflow matches the schema of GitHub Actions, and has jobs', async () => {
    const content = await readFile(join(DIRECTORY, fileName), 'utf8')
    const { errors, template } = await parseWorkflow(fileName, content)
    expect(errors).toEqual([])
    expect(template?.jobs.length).toBeGreaterThan(0)
  })

  test('every npm script that the workflow calls exists, and its token can only read contents by default', async () => {
    const content = await readFile(join(DIRECTORY, fileName), 'utf8')
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))
    const calledScripts = [...content.matchAll(/npm run ([\w:]+)/g)].map(([, name = '']) => name)
    // A workflow that calls neither an npm script nor `.ci/run` would be written in a form that this test misses.
    expect(calledScripts.length > 0 || content.includes('.ci/run')).toBe(true)
    for (const script of calledScripts) expect(scripts).toHaveProperty(script)
    expect(content).toMatch(/^permissions:\n {2}contents: read$/m)
  })
})

test('the parser reports the key `run-on`, which must be `runs-on`', async () => {
  const { errors } = await parseWorkflow('ci.yml', 'on: push\njobs:\n  test:\n    run-on: ubuntu\n')
  expect(errors.join()).toMatch(/run-on/)
})
