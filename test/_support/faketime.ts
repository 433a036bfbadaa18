/**
 * The environment of a program whose clock is ahead, or with a negative number behind. Needs Debian's
 * `faketime`; without it the program keeps the right time. Its monotonic clock stays as it is.
 */
export function fakeClock(aheadSeconds: number): Record<string, string> {
  return {
    LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
    FAKETIME: `${aheadSeconds < 0 ? '' : '+'}${aheadSeconds}s`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
