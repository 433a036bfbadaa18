/** Reads the claims of a token for display, without verification. Only the API verifies the signature. */
export function readClaims(token) {
  const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes))
}
