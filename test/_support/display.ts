import { mkdir } from 'node:fs/promises'
import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** The directory of the screenshots. Git ignores this directory. */
const SCREENSHOTS = 'dist/screenshots'

/** The widths of a desktop screen and of a phone, in pixels. */
const SCREEN_WIDTHS = [1280, 390]
const COLOR_SCHEMES = ['light', 'dark'] as const

interface AxeResults {
  violations: { id: string; help: string; nodes: { html: string }[] }[]
}

/**
 * Shows a page in four variants: on a wide and on a narrow screen, in light and in dark colours. Takes a screenshot of
 * each variant. Returns the accessibility problems, and the variants in which the page is wider than the screen.
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
      const { violations } = await page.evaluate<AxeResults>('axe.run()')
      for (const { id, help, nodes } of violations) {
        problems.push(`${variant}: ${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`)
      }
    }
  }
  return problems
}
