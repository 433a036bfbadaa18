import { spawnSync } from 'node:child_process'
import { type Browser, chromium } from 'playwright-core'

const PROGRAM_NAMES = ['chromium', 'chromium-browser', 'google-chrome']

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * Returns the path in `CHROMIUM_PATH`, or the path of Chromium in the `PATH`. If there is no Chromium, `skip` contains
 * the reason for skipping a test.
 */
export function findBrowser(): { path: string } | { skip: string } {
  const { CHROMIUM_PATH } = process.env
  if (CHROMIUM_PATH) return { path: CHROMIUM_PATH }
  for (const name of PROGRAM_NAMES) {
    const { stdout, status } = spawnSync('which', [name], { encoding: 'utf8' })
    if (status === 0) return { path: stdout.trim() }
  }
  return { skip: `no ${PROGRAM_NAMES.join(', ')} in the PATH` }
}

/** Starts a headless browser. */
export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: ARGUMENTS })
}
