/**
 * Returns environment variables that move the wall clock of a program, but not the monotonic clock. They need the
 * Debian package `faketime`, and have no effect without it.
 *
 * @param aheadSeconds Seconds that are added to the wall clock.
 */
export function fakeClock(aheadSeconds: number): Record<string, string> {
  return {
    LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
    FAKETIME: `${aheadSeconds < 0 ? '' : '+'}${aheadSeconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
