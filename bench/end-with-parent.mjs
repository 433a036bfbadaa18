/**
 * Ends the process when the parent process has ended, even by SIGKILL. `node --import` loads this file before that of
 * the process.
 */
process.on('disconnect', () => process.exit())
