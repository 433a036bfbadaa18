/** Writes the pictures of docs/images: the pages of a running demo, wide and narrow, in light and in dark colours. */

import { pino } from 'pino'
import type { Locator, Page } from 'playwright-core'
import { createDemo, type Demo } from '../src/demo/demo.js'
import { findBrowser, openBrowser } from '../test/_support/browser.js'

const DIRECTORY = 'docs/images'
const WIDTHS = [1280, 390]
const COLOR_SCHEMES = ['light', 'dark'] as const

/** Space beside and below the sections of a picture. Below, it is smaller than the space between two sections. */
const MARGIN_PX = { side: 20, bottom: 12 }

/** How late the simulated tenant stores a log entry: about as late as Auth0. */
const LAG_MS = 3_500

/** How long the console records the lag before its picture is taken. */
const RECORDED_MS = 80_000

const found = findBrowser()
if ('skip' in found) throw new Error(`the screenshots need Chromium: ${found.skip}`)
const demo = await createDemo({
  env: { PORT: '0', PATH: process.env.PATH },
  createLog: async () => pino({ level: 'silent' }),
  stop: new AbortController().signal,
  enterprise: false,
  lagMs: () => LAG_MS,
})
try {
  if (demo.nginx.url === undefined) throw new Error(demo.nginx.problem)
  const browser = await openBrowser(found.path)
  try {
    const page = await browser.newPage()
    await logOutInBothWays(page, demo)
    await takePictures(page, 'demo', page.locator('section', { has: page.locator('#uses') }))
    await openConsole(page, demo)
    await takePictures(
      page,
      'console',
      page.locator('section', { has: page.locator('#subscribers') }),
    )
  } finally {
    await browser.close()
  }
} finally {
  await demo.close()
}

/** Logs out through last-logout, and then at Auth0. Waits each time until every use of the token has ended. */
async function logOutInBothWays(page: Page, { pageUrl }: Demo): Promise<void> {
  await page.goto(pageUrl)
  const measured = page.locator('#uses td:nth-child(n + 2)', { hasText: /^\d+\.\d s$/ })
  const uses = await page.locator('#uses tbody tr').count()
  for (const [index, [login, logout]] of [
    ['#login', '#logout-endpoint'],
    ['#again', '#logout'],
  ].entries()) {
    await page.click(`${login}`)
    await page.click('text=demo-user-1')
    await page.click('#call')
    for (const use of ['#use-socket', '#use-stream']) {
      await page.locator(use, { hasText: /open for .* [1-9]\d* orders/ }).waitFor()
    }
    await page.click(`${logout}`)
    await measured.nth((index + 1) * uses - 1).waitFor()
  }
}

/** Opens the console, and waits until it shows the lag of more than a minute. */
async function openConsole(page: Page, { apiUrl, key }: Demo): Promise<void> {
  await page.goto(`${apiUrl}/console`)
  await page.fill('#key', key)
  await page.press('#key', 'Enter')
  await page.locator('#health', { hasText: 'Healthy' }).waitFor()
  await page.waitForTimeout(RECORDED_MS)
}

/** Takes a picture of each variant of a page, from its beginning to the end of a section. */
async function takePictures(page: Page, name: string, last: Locator): Promise<void> {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 })
    const [main, end] = await Promise.all([page.locator('main').boundingBox(), last.boundingBox()])
    if (!main || !end) throw new Error(`${name}: the page is not shown`)
    const x = main.x - MARGIN_PX.side
    const height = end.y + end.height + MARGIN_PX.bottom
    for (const colorScheme of COLOR_SCHEMES) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({
        path: `${DIRECTORY}/${name}-${width}-${colorScheme}.png`,
        fullPage: true,
        clip: { x, y: 0, width: width - 2 * x, height },
      })
    }
  }
}
