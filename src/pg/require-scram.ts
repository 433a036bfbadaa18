import type pg from 'pg'

/** Requests of a server for the password itself, or for a hash of it. */
const OTHER_METHODS = ['authenticationCleartextPassword', 'authenticationMD5Password']

/**
 * Makes `client.connect()` reject unless the server authenticates with SCRAM. With SCRAM, the password is not sent, and
 * the server proves that it knows it. Without this function, the driver sends the password to any program that requests
 * it, and accepts a server that requests none.
 *
 * @param client A client on which `connect` has not been called.
 */
export function requireScram({ connection }: pg.Client): void {
  let isProved = false
  const refuse = () => {
    connection.emit('error', new Error('the server does not authenticate with SCRAM'))
    // The driver writes the password after this function returns. A destroyed stream sends nothing.
    connection.stream.destroy()
  }
  for (const method of OTHER_METHODS) connection.on(method, refuse)
  connection.on('authenticationSASLFinal', () => {
    isProved = true
  })
  connection.on('authenticationOk', () => {
    if (!isProved) refuse()
  })
}
