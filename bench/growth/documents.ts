import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { readResults } from '../results.js'
import { type Panel, renderChart, THEMES } from './charts.js'
import { renderPerformance } from './performance-document.js'
import { renderScaling } from './scaling-document.js'

const PERFORMANCE_FILE = 'docs/performance.md'
const CHART_DIR = 'docs/performance'
const SCALING_FILE = 'docs/scaling.md'

/** Writes docs/performance.md with its charts, and the generated table of docs/scaling.md, from the stored results. */
export async function writeDocuments(): Promise<void> {
  const results = await readResults()
  const { markdown, charts } = renderPerformance(results)
  await writeFile(PERFORMANCE_FILE, markdown)
  await mkdir(CHART_DIR, { recursive: true })
  for (const [name, panels] of charts) await writeChart(name, panels)
  await writeFile(SCALING_FILE, renderScaling(await readFile(SCALING_FILE, 'utf8'), results))
  console.log(`wrote ${PERFORMANCE_FILE}, ${CHART_DIR} and ${SCALING_FILE}`)
}

async function writeChart(name: string, panels: Panel[]): Promise<void> {
  for (const [scheme, theme] of Object.entries(THEMES)) {
    await writeFile(`${CHART_DIR}/${name}-${scheme}.svg`, `${renderChart(panels, theme)}\n`)
  }
}
