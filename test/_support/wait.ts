/** Polling options for conditions that depend on another process or on a server. */
export const WAIT = { timeout: 20_000, interval: 20 }
