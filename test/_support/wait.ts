/** Options of `vi.waitFor` and `expect.poll` for changes in another process or in a server. In milliseconds. */
export const WAIT = { timeout: 20_000, interval: 20 }
