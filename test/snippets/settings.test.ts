import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { listCodeBlocks } from '../_support/documents.js'
import { PROOFS } from './snippets.js'

const API_KEY = 'k'.repeat(32)

/** The variables that an example does not set. */
const OTHER_VARIABLES = {
  AUTH0_DOMAIN: 'tenant.example',
  DATABASE_URL: 'postgresql://127.0.0.1/app',
  API_KEYS: `orders-api:${API_KEY}`,
}

test.each(['docs/database.md', 'docs/gateways.md'])(
  'the configuration accepts the variables in the examples of %s',
  async (document) => {
    const blocks = (await listCodeBlocks(document)).filter(({ language }) => language === 'sh')
    const examples = blocks.map(({ code }) => readAssignments(code))
    const settings = examples.filter((variables) => Object.keys(variables).length > 0)
    for (const variables of settings) {
      loadConfig({ ...OTHER_VARIABLES, ...variables }, ['api', 'database'])
    }
    // These are all examples that test/snippets/snippets.ts lists as settings.
    const listed = Object.entries(PROOFS).filter(
      ([name, proof]) => name.startsWith(`${document} > `) && 'settings' in proof,
    )
    expect(settings).toHaveLength(listed.length)
  },
)

/** Reads the lines `NAME=value` of an example. In a value, `KEY` stands for an API key. */
function readAssignments(code: string): Record<string, string> {
  const assignments = [...code.matchAll(/^([A-Z_]+)='?([^'\s]+)'?/gm)]
  return Object.fromEntries(
    assignments.map(([, name = '', value = '']) => [name, value.replace('KEY', API_KEY)]),
  )
}
