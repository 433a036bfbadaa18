import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/command.js'
import { createTenant, type SimulatedTenantOptions } from '../../src/simulator/tenant.js'
import { registerSimulator, type UseSimulatorOptions } from '../../src/simulator/test-hooks.js'

/** A test runner that runs no hooks. */
const hooks = { beforeAll: () => {}, afterEach: () => {}, afterAll: () => {} }

test('an option of useSimulator that is undefined, as an unset variable is, has its default', () => {
  // The types forbid `undefined`, but callers in JavaScript can pass it.
  const options = { domain: undefined, lagMs: undefined } as unknown as UseSimulatorOptions
  const { tenant } = registerSimulator(hooks, options)
  expect(tenant.domain).toBe('acme.eu.auth0.com')
  tenant.write({ type: 'slo' })
  expect(tenant.readAfter('900', 1)).toHaveLength(1)
})

test.each([
  [{ domain: 'https://acme.eu.auth0.com/' }, "domain is 'https://acme.eu.auth0.com/'"],
  [{ domain: '' }, "domain is ''"],
  [{}, "domain is 'undefined'"],
  [{ domain: 'acme.eu.auth0.com', prefix: '80' }, "prefix is '80'"],
  [{ domain: 'acme.eu.auth0.com', prefix: 'abc' }, "prefix is 'abc'"],
])('createTenant rejects the options %j, and the message names the value', (options, problem) => {
  const create = () => createTenant(options as SimulatedTenantOptions)
  expect(create).toThrow(TypeError)
  expect(create).toThrow(problem)
})

test('the command refuses a URL as the domain, and names the option', async () => {
  const started = startSimulator({ domain: 'https://acme.eu.auth0.com', port: '0', history: '0' })
  await expect(started).rejects.toMatchObject({
    name: 'UsageError',
    message: expect.stringContaining("--domain is 'https://acme.eu.auth0.com'"),
  })
})
