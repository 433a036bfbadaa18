import { readFile } from 'node:fs/promises'

/** A query of the dashboard for Grafana. */
interface Query {
  panel: string
  expr: string
  legend: string
}

interface Panel {
  title: string
  targets?: { expr: string; legendFormat: string }[]
}

/** Lists the queries of deploy/grafana/last-logout.json. */
export async function listQueries(): Promise<Query[]> {
  const text = await readFile('deploy/grafana/last-logout.json', 'utf8')
  const { panels } = JSON.parse(text) as { panels: Panel[] }
  return panels.flatMap(({ title: panel, targets = [] }) =>
    targets.map(({ expr, legendFormat: legend }) => ({ panel, expr, legend })),
  )
}
