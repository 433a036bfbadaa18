/**
 * The environment variables that shift the wall clock of a program. They need the Debian package
 * `faketime`, and have no effect without it. The monotonic clock is not shifted.
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
