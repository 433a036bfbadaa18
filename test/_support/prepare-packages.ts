import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { installTarballs } from '../../scripts/packages/install.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The directory in which the tarballs of all packages are installed. */
    packagesDir: string
  }
}

/** Prepares a Vitest project: builds and packs all packages, and installs them into an empty directory. */
export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:packages'])
  await promisify(execFile)('node_modules/.bin/tsx', ['scripts/build-packages.ts', 'bundle'])
  const directory = await installTarballs(['service', 'client', 'simulator'])
  provide('packagesDir', directory)
  return () => rm(directory, { recursive: true })
}
