import type { ConsoleState } from '../../src/http/console.js'

/** The time of {@link CONSOLE_STATE}, in milliseconds since the epoch. */
export const CONSOLE_NOW = Date.UTC(2026, 10, 28, 12)

const toRfc3339 = (at: number) => new Date(at).toISOString()

/** The data of the console for a service without problems. */
export const CONSOLE_STATE: ConsoleState = {
  tenant: 'acme.eu.auth0.com',
  now: toRfc3339(CONSOLE_NOW + 840),
  checkpoint: '900',
  as_of: toRfc3339(CONSOLE_NOW),
  lag_ms: 840,
  last_poll_at: toRfc3339(CONSOLE_NOW),
  reconciled_at: null,
  sweep_remaining: null,
  floor_at: null,
  users: 3,
  sessions: 4,
  reconciled: 0,
  unattributable: { no_user: 2 },
  gap_list: [],
  gap_advice: null,
  history: {
    since: toRfc3339(CONSOLE_NOW),
    at: [CONSOLE_NOW, CONSOLE_NOW + 1],
    lag_ms: [840, null],
  },
  schedule: {
    store: 'postgresql',
    error: null,
    read_at: toRfc3339(CONSOLE_NOW),
    jobs: [{ name: 'poll', interval_ms: 5_000, next_at: null }],
  },
}
