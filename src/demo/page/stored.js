/** Accesses a value in the session storage, which survives a redirect to the tenant's login and back. */
export function storedValue(name, fallback) {
  return {
    get: () => JSON.parse(sessionStorage.getItem(name) ?? 'null') ?? fallback,
    set: (value) => sessionStorage.setItem(name, JSON.stringify(value)),
  }
}

/** The tokens of the last login, as the tenant sent them; `null`: there was no login. */
export const tokens = storedValue('tokens', null)

/**
 * What happened to the token since its login: `isCalled` and `isDenied` (an exchange of the refresh token), `way` (of
 * the logout), the times `loggedOutAt` and `knownAt` in milliseconds, `replaced` (the durations of the previous logout
 * of this way), and `ends`, which contains the time and a description of the end of each use of the token. If a field is
 * absent, its event has not happened.
 */
export const run = storedValue('run', {})

/** Adds facts to the run. */
export function updateRun(facts) {
  run.set({ ...run.get(), ...facts })
}

/** For each way to log out: the times from the last logout to the end of each use of the token, in milliseconds. */
const durations = storedValue('durations', {})

/** Begins to measure a logout. */
export function recordLogout(way) {
  updateRun({ way, loggedOutAt: Date.now(), replaced: durations.get()[way] })
  durations.set({ ...durations.get(), [way]: {} })
}

/** Takes a logout back, unless a use of the token has ended since. */
export function cancelLogout() {
  const { way, loggedOutAt: _loggedOutAt, replaced, ...facts } = run.get()
  if (facts.ends !== undefined) return
  run.set(facts)
  durations.set({ ...durations.get(), [way]: replaced })
}

/** Records the end of a use of the token. Returns false and changes nothing if an end is already recorded. */
export function recordEnd(use, text) {
  const { way, loggedOutAt, ends = {} } = run.get()
  if (ends[use] !== undefined) return false
  const at = Date.now()
  updateRun({ ends: { ...ends, [use]: { at, text } } })
  if (way === undefined) return true
  const measured = { ...durations.get()[way], [use]: at - loggedOutAt }
  durations.set({ ...durations.get(), [way]: measured })
  return true
}

/** Returns the end of a use of the token; `undefined`: the use has not ended. */
export function endOf(use) {
  return run.get().ends?.[use]
}

/** Returns the time from the last logout of this way to the end of a use of the token; `undefined`: unknown. */
export function durationOf(way, use) {
  return durations.get()[way]?.[use]
}
