import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { createTraffic } from '../../src/simulator/traffic.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON } from './start.js'

function startTraffic(seed = 1) {
  const clock = { ms: NOON }
  const tenant = createTenant({ domain: DOMAIN, now: () => clock.ms, lagMs: () => 0 })
  const traffic = createTraffic(tenant, { users: 3, seed })
  onTestFinished(() => traffic.close())
  return { clock, tenant, traffic }
}

describe('traffic', () => {
  test('traffic ends each session once, and only sessions that a login has opened', () => {
    const { traffic, clock } = startTraffic()
    const openSessions = new Set<string>()
    for (let i = 0; i < 500; i++) {
      clock.ms += 1000
      const { action, sessionId } = traffic.tick()
      expect(openSessions.has(sessionId)).toBe(action !== 'login')
      if (action === 'login') openSessions.add(sessionId)
      if (action === 'logout') openSessions.delete(sessionId)
    }
    expect(openSessions.size).toBeLessThan(30)
  })

  test('traffic writes its events to the tenant', () => {
    const { traffic, tenant, clock } = startTraffic()
    for (let i = 0; i < 100; i++) {
      clock.ms += 1000
      const { userId, sessionId, action } = traffic.tick()
      const last = tenant.entries().at(-1)
      expect(last).toMatchObject({ user_id: userId, date: new Date(clock.ms).toISOString() })
      expect(JSON.stringify(last)).toContain(sessionId)
      if (action === 'logout') expect(last).toHaveProperty('type', 'slo')
    }
    const types = new Set(tenant.entries().map((entry) => entry.type))
    expect([...types].sort()).toEqual(['s', 'seacft', 'sertft', 'slo', 'ssa'])
  })

  test('traffic consists of the same events for the same seed', () => {
    const eventsOf = (seed: number) => {
      const { traffic } = startTraffic(seed)
      return Array.from({ length: 20 }, () => traffic.tick())
    }
    expect(eventsOf(7)).toEqual(eventsOf(7))
    expect(eventsOf(7)).not.toEqual(eventsOf(8))
  })

  test('traffic writes events at an interval until it is closed', async () => {
    const { traffic, tenant } = startTraffic()
    traffic.start(1)
    await vi.waitFor(() => expect(tenant.entries().length).toBeGreaterThan(3))
    traffic.close()
    const entryCount = tenant.entries().length
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(tenant.entries()).toHaveLength(entryCount)
  })
})
