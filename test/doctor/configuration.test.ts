import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { checkConfiguration } from '../../src/doctor/configuration.js'

describe('checkConfiguration', () => {
  const env = { AUTH0_DOMAIN: 'tenant.example', API_KEYS: `a:${'k'.repeat(32)}` }
  test.each<[Record<string, string>, string, RegExp]>([
    [{}, 'ok', /tenant\.example, policy session/],
    [{ POLL_INTERVAL: '60s' }, 'warning', /POLL_INTERVAL \(60 s\) is not below MAX_LAG \(60 s\)/],
    [{ MAX_LAG: '6m' }, 'warning', /MAX_LAG \(6 minutes\) is above 5 minutes/],
    [{ RATE_SHARE: '0.9' }, 'warning', /RATE_SHARE \(0\.9\)/],
    [{ API_KEYS: '' }, 'warning', /API_KEYS is empty/],
  ])(
    'with the variables %j, checkConfiguration returns the status %s, and names the reason',
    (variables, status, message) => {
      const checks = checkConfiguration(loadConfig({ ...env, ...variables }, []))
      expect(checks).toMatchObject([{ status, message: expect.stringMatching(message) }])
    },
  )

  test('checkConfiguration returns one check for each risk', () => {
    const risky = { POLL_INTERVAL: '10m', MAX_LAG: '6m', API_KEYS: '' }
    expect(checkConfiguration(loadConfig({ ...env, ...risky }, []))).toHaveLength(3)
  })
})
