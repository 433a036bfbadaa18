/**
 * Whether an HTTP header can carry `key` as a bearer token: `key` consists of visible ASCII characters, without spaces.
 */
export function canBeSent(key: string): boolean {
  return /^[\x21-\x7e]+$/.test(key)
}
