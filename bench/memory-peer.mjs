/**
 * Loads the libraries of `last-logout start`, and does nothing else. Sends a message to the parent process after
 * loading them. The arguments are the names of the packages.
 */
for (const name of process.argv.slice(2)) await import(name)
process.send?.('loaded')
// Keeps the process alive.
process.on('message', () => {})
