/**
 * Loads packages, sends a message to the parent process, and does nothing else. The arguments are the names of the
 * packages.
 */
for (const name of process.argv.slice(2)) await import(name)
process.send?.('loaded')
// Keeps the process alive.
process.on('message', () => {})
