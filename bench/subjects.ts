/** The id of user number `n`. Like Auth0's user ids, it has 30 characters. */
export function userIdOf(n: number): string {
  return `auth0|${(n * 2_654_435_761).toString(16).padStart(24, '6')}`
}

/** The id of session number `n`. Like Auth0's session ids, it has 32 characters. */
export function sessionIdOf(n: number): string {
  return `S${(n * 2_246_822_519).toString(16).padStart(31, 'x')}`
}
