import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** A system user. Where a parameter can also be `null`, `null` means the user of this process. */
export interface ProgramUser {
  uid: number
  gid: number
}

/** A running program. */
export type Program = Awaited<ReturnType<typeof spawnProgram>>

/**
 * A shell script that runs a program, and stops the program when the script's stdin closes. The stdin is a pipe from
 * this process. The pipe closes when `stop()` is called, and when this process ends, even by a crash.
 *
 * The script sends SIGINT, which requests a fast shutdown of postgres and nginx. It also sends SIGTERM, because initdb
 * can ignore SIGINT. It repeats both signals, because a program that has just started ignores them. A
 * supervisor can send signals to all processes. The script ignores these signals, so that it does not end before the
 * program.
 */
const WATCHER = `
trap '' HUP INT TERM
exec 3<&0
"$@" 3<&- </dev/null &
program=$!
(read -r line <&3
while kill -INT "$program" && kill -TERM "$program"; do sleep 1; done) 2>/dev/null &
reader=$!
wait "$program"
status=$?
kill -KILL "$reader" 2>/dev/null
exit "$status"`

/**
 * Starts a program in its own process group, so that Ctrl-C in the terminal does not end the program. The program ends
 * when `stop()` is called or when this process ends.
 *
 * @param log File descriptor for the output of the program.
 */
export async function spawnProgram(command: string[], log: number, user: ProgramUser | null) {
  const child = spawn('/bin/sh', ['-c', WATCHER, 'sh', ...command], {
    ...programOptions(user),
    detached: true,
    stdio: ['pipe', log, log],
  })
  await once(child, 'spawn')
  const exited = once(child, 'exit').then(() => child.exitCode)
  return {
    /** Resolves with the exit status. */
    exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    /** Stops the program if it is running. Resolves when it has exited. */
    async stop() {
      child.stdin?.destroy()
      await exited
    },
  }
}

/** Returns options of `node:child_process` for a program of another package. */
export function programOptions(user: ProgramUser | null) {
  return {
    cwd: '/',
    // The environment of this process is not inherited, because it contains secrets and possibly variables such as
    // PGPORT.
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    // Node expects signed 32-bit numbers, but on macOS an unprivileged user has the uid 4294967294.
    ...(user && { uid: user.uid | 0, gid: user.gid | 0 }),
  }
}
