import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { readResults } from '../results.js'
import { type Panel, renderChart, THEMES } from './charts.js'
import { renderPerformance } from './performance-document.js'
import { renderScaling } from './scaling-document.js'

const PERFORMANCE = 'docs/performance.md'
const CHARTS = 'docs/performance'
const SCALING = 'docs/scaling.md'

/** Writes docs/performance.md with its charts, and the generated table of docs/scaling.md, from the stored results. */
export async function writeDocuments(): Promise<void> {
  const results = await readResults()
  const { markdown, charts } = renderPerformance(results)
  await writeFile(PERFORMANCE, markdown)
  await mkdir(CHARTS, { recursive: true })
  for (const [name, panels] of charts) await writeChart(name, panels)
  await writeFile(SCALING, renderScaling(await readFile(SCALING, 'utf8'), results))
  console.log(`wrote ${PERFORMANCE}, ${CHARTS} and ${SCALING}`)
}

async function writeChart(name: string, panels: Panel[]): Promise<void> {
  for (const [scheme, theme] of Object.entries(THEMES)) {
    await writeFile(`${CHARTS}/${name}-${scheme}.svg`, `${renderChart(panels, theme)}\n`)
  }
}
