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
 * What happened to the token since its login: `isCalled` and `isDenied` (an exchange of the refresh token), and the times `loggedOutAt`, `knownAt` and `refusedAt` in
 * milliseconds. A time that is absent has not happened.
 */
export const run = storedValue('run', {})

/** Adds facts to the run. */
export function updateRun(facts) {
  run.set({ ...run.get(), ...facts })
}
