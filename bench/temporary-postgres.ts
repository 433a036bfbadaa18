import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import { type BenchRun, openInRun } from './bench-run.js'

/** Creates a directory that is deleted at the end of the run. */
export async function createTemporaryDirectory({ closers }: BenchRun): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-bench-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Starts PostgreSQL in a temporary directory. Stops it at the end of the run. */
export async function openTemporaryPostgres(run: BenchRun) {
  const dataDir = await createTemporaryDirectory(run)
  return openInRun(run, createEmbeddedPostgres({ dataDir }))
}
