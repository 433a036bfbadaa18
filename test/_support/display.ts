import { mkdir } from 'node:fs/promises'
import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** The directory of the screenshots. Git ignores this directory. */
const SCREENSHOTS = 'dist/screenshots'

/** The widths of a desktop screen, and of the narrowest phone, in pixels. */
const SCREEN_WIDTHS = [1280, 320]

/** Minimum width of a value in a list of facts, in pixels. */
const MIN_VALUE_WIDTH_PX = 120

const COLOR_SCHEMES = ['light', 'dark'] as const

/** A JavaScript expression that returns the text of each displayed value that is too narrow. */
const NARROW_VALUES = `[...document.querySelectorAll('dd')]
  .filter(({ clientWidth }) => clientWidth > 0 && clientWidth < ${MIN_VALUE_WIDTH_PX})
  .map(({ textContent }) => textContent)`

interface AxeResults {
  violations: { id: string; help: string; nodes: { html: string }[] }[]
}

/**
 * Shows a page in four variants: on a wide and on a narrow screen, in light and in dark colours. Takes a screenshot of
 * each variant. Returns the accessibility problems, the variants in which the page is wider than the screen, and the
 * values that are too narrow.
 *
 * @param name The beginning of the file names of the screenshots.
 */
export async function findDisplayProblems(page: Page, name: string): Promise<string[]> {
  await mkdir(SCREENSHOTS, { recursive: true })
  await page.evaluate(axe.source)
  const problems: string[] = []
  for (const colorScheme of COLOR_SCHEMES) {
    for (const width of SCREEN_WIDTHS) {
      const variant = `${name}-${width}-${colorScheme}`
      await page.emulateMedia({ colorScheme })
      await page.setViewportSize({ width, height: 900 })
      await page.screenshot({ path: `${SCREENSHOTS}/${variant}.png`, fullPage: true })
      const pageWidth = Number(await page.evaluate('document.documentElement.scrollWidth'))
      if (pageWidth > width) problems.push(`${variant}: the page is ${pageWidth} px wide`)
      const narrowValues = await page.evaluate<string[]>(NARROW_VALUES)
      problems.push(...narrowValues.map((text) => `${variant}: the value ${text} is too narrow`))
      const { violations } = await page.evaluate<AxeResults>('axe.run()')
      for (const { id, help, nodes } of violations) {
        problems.push(`${variant}: ${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`)
      }
    }
  }
  return problems
}
