/**
 * Returns the environment variables that set the wall clock of a program, but not its monotonic clock. Without the Debian
 * package `faketime`, the variables have no effect.
 *
 * @param aheadSeconds By how many seconds the wall clock is ahead. A negative number sets it back.
 */
export function fakeClock(aheadSeconds: number): Record<string, string> {
  return {
    LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
    FAKETIME: `${aheadSeconds < 0 ? '' : '+'}${aheadSeconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
