import type { ConsoleState } from '../../src/http/console.js'

/** The time of {@link CONSOLE_STATE}. */
export const CONSOLE_NOW = Date.UTC(2026, 10, 28, 12)

const iso = (at: number) => new Date(at).toISOString()

/** A state of the service, as the console shows it. */
export const CONSOLE_STATE: ConsoleState = {
  tenant: 'acme.eu.auth0.com',
  checkpoint: '900',
  as_of: iso(CONSOLE_NOW),
  lag_ms: 840,
  last_poll_at: iso(CONSOLE_NOW),
  reconciled_at: null,
  sweep_remaining: null,
  floor_at: null,
  users: 3,
  sessions: 4,
  reconciled: 0,
  unattributable: { no_user: 2 },
  gap_list: [],
  gap_advice: null,
  history: { since: iso(CONSOLE_NOW), at: [CONSOLE_NOW, CONSOLE_NOW + 1], lag_ms: [840, null] },
  schedule: {
    store: 'postgresql',
    error: null,
    jobs: [{ name: 'poll', interval_ms: 5_000, next_at: null }],
  },
}
