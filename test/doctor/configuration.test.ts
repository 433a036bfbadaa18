import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import type { Check } from '../../src/doctor/check.js'
import { checkConfiguration } from '../../src/doctor/configuration.js'

describe('checkConfiguration', () => {
  /** A configuration without a risk. */
  const SAFE_ENV = { AUTH0_DOMAIN: 'tenant.example', API_KEYS: `a-caller:${'k'.repeat(32)}` }

  test.each<[variables: Record<string, string>, Check['status'], message: RegExp]>([
    [{}, 'ok', /tenant\.example, policy session/],
    [{ POLL_INTERVAL: '60s' }, 'warning', /POLL_INTERVAL \(60 s\) is not below MAX_LAG \(60 s\)/],
    [{ MAX_LAG: '6m' }, 'warning', /MAX_LAG \(6 minutes\) is above 5 minutes/],
    [{ RATE_SHARE: '0.9' }, 'warning', /RATE_SHARE \(0\.9\)/],
    [{ API_KEYS: '' }, 'warning', /API_KEYS is empty/],
  ])(
    'checkConfiguration returns one check for the variables %j, with the status %s',
    (variables, status, message) => {
      const checks = checkConfiguration(loadConfig({ ...SAFE_ENV, ...variables }, []))
      expect(checks).toMatchObject([{ status, message: expect.stringMatching(message) }])
    },
  )

  test('checkConfiguration returns three checks for variables with three risks', () => {
    // The interval is above MAX_LAG, MAX_LAG is above five minutes, and there is no API key.
    const risky = { POLL_INTERVAL: '10m', MAX_LAG: '6m', API_KEYS: '' }
    expect(checkConfiguration(loadConfig({ ...SAFE_ENV, ...risky }, []))).toHaveLength(3)
  })
})
