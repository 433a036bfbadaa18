import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { listCodeBlocks } from '../_support/documents.js'
import { PROOFS } from './snippets.js'

const BASE = {
  AUTH0_DOMAIN: 'tenant.example',
  DATABASE_URL: 'postgresql://127.0.0.1/app',
  API_KEYS: `orders-api:${'k'.repeat(32)}`,
}

test.each(['docs/database.md', 'docs/gateways.md'])(
  'the configuration accepts the variables in the examples of %s',
  async (document) => {
    const blocks = (await listCodeBlocks(document)).filter(({ language }) => language === 'sh')
    const accepted = blocks.map(({ code }) => {
      const assignments = [...code.matchAll(/^([A-Z_]+)='?([^'\s]+)'?/gm)].map(
        ([, name = '', value = '']) => [name, value.replace('KEY', 'k'.repeat(32))],
      )
      return [
        assignments.length,
        loadConfig({ ...BASE, ...Object.fromEntries(assignments) }, ['api', 'database']),
      ]
    })
    const listed = Object.entries(PROOFS).filter(
      ([name, proof]) => name.startsWith(`${document} > `) && 'settings' in proof,
    )
    expect(accepted.filter(([count]) => count !== 0)).toHaveLength(listed.length)
  },
)
