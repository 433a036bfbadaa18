/**
 * The environment variables that shift the wall clock of a program, but not its monotonic clock. Without the Debian
 * package `faketime`, they have no effect.
 *
 * @param aheadSeconds The shift in seconds. Negative: the clock is behind.
 */
export function fakeClock(aheadSeconds: number): Record<string, string> {
  return {
    LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
    FAKETIME: `${aheadSeconds < 0 ? '' : '+'}${aheadSeconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
