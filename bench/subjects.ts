// `fill-tables.ts` computes the same ids in SQL. The products exceed the integers that a number holds exactly, so these
// functions use `BigInt`.

/** The id of user number `n`. Like Auth0's user ids, it has 30 characters. A negative number is a user without rows. */
export function userIdOf(n: number): string {
  return `auth0|${(BigInt(n) * 2_654_435_761n).toString(16).padStart(24, '6')}`
}

/** The id of session number `n`. Like Auth0's session ids, it has 32 characters. */
export function sessionIdOf(n: number): string {
  return `S${(BigInt(n) * 2_246_822_519n).toString(16).padStart(31, 'x')}`
}
