/**
 * Returns environment variables that change the wall clock of a program. They do not change the monotonic clock. The
 * Debian package `faketime` must be installed. Without it, the variables have no effect.
 *
 * @param aheadSeconds Seconds that are added to the wall clock.
 */
export function fakeClockEnv(aheadSeconds: number): Record<string, string> {
  return {
    LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
    FAKETIME: `${aheadSeconds < 0 ? '' : '+'}${aheadSeconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
