import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { createTraffic } from '../../src/simulator/traffic.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON } from './start.js'

/** Creates traffic of three users, with its timer stopped. The clock of the tenant moves only when a test sets it. */
function openTraffic(seed = 1) {
  const clock = { ms: NOON }
  const tenant = createTenant({ domain: DOMAIN, now: () => clock.ms, lagMs: () => 0 })
  const traffic = createTraffic(tenant, { users: 3, seed })
  onTestFinished(() => traffic.close())
  return { clock, tenant, traffic }
}

describe('traffic', () => {
  test('each action of traffic except a login concerns a session that a login has opened and no logout has ended', () => {
    const { traffic, clock } = openTraffic()
    const openSessions = new Set<string>()
    for (let i = 0; i < 500; i++) {
      clock.ms += 1000
      const { action, sessionId } = traffic.tick()
      const isNewSession = !openSessions.has(sessionId)
      expect(isNewSession).toBe(action === 'login')
      if (action === 'login') openSessions.add(sessionId)
      if (action === 'logout') openSessions.delete(sessionId)
    }
    // Logouts are frequent enough that open sessions do not accumulate.
    expect(openSessions.size).toBeLessThan(30)
  })

  test('each event of traffic is the last entry in the log of the tenant', () => {
    const { traffic, tenant, clock } = openTraffic()
    for (let i = 0; i < 100; i++) {
      clock.ms += 1000
      const { userId, sessionId, action } = traffic.tick()
      const lastEntry = tenant.entries().at(-1)
      expect(lastEntry).toMatchObject({ user_id: userId, date: new Date(clock.ms).toISOString() })
      expect(JSON.stringify(lastEntry)).toContain(sessionId)
      if (action === 'logout') expect(lastEntry).toHaveProperty('type', 'slo')
    }
    const types = new Set(tenant.entries().map((entry) => entry.type))
    // A login, its code exchange, a refresh token exchange, a logout, and a silent login.
    expect([...types].sort()).toEqual(['s', 'seacft', 'sertft', 'slo', 'ssa'])
  })

  test('traffic with the same seed consists of the same events, and with another seed of other events', () => {
    const eventsOf = (seed: number) => {
      const { traffic } = openTraffic(seed)
      return Array.from({ length: 20 }, () => traffic.tick())
    }
    expect(eventsOf(7)).toEqual(eventsOf(7))
    expect(eventsOf(7)).not.toEqual(eventsOf(8))
  })

  test('traffic writes events at an interval until it is closed', async () => {
    const { traffic, tenant } = openTraffic()
    const intervalMs = 1
    traffic.start(intervalMs)
    await vi.waitFor(() => expect(tenant.entries().length).toBeGreaterThan(3))
    traffic.close()
    const entryCount = tenant.entries().length
    await new Promise((resolve) => setTimeout(resolve, 10 * intervalMs))
    expect(tenant.entries()).toHaveLength(entryCount)
  })
})
