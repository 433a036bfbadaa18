import { readFile } from 'node:fs/promises'

/** A query of the Grafana dashboard. */
interface Query {
  /** The title of the panel that shows the results. */
  panel: string
  /** The expression in PromQL. */
  expr: string
  /** The text beside each curve. It contains labels of the result, such as `{{job}}`. */
  legend: string
}

/** A panel in the file of the dashboard: only its title and its queries. */
interface Panel {
  title: string
  targets?: { expr: string; legendFormat: string }[]
}

/** Returns all queries of the dashboard deploy/grafana/last-logout.json. */
export async function listQueries(): Promise<Query[]> {
  const text = await readFile('deploy/grafana/last-logout.json', 'utf8')
  const { panels } = JSON.parse(text) as { panels: Panel[] }
  return panels.flatMap(({ title: panel, targets = [] }) =>
    targets.map(({ expr, legendFormat: legend }) => ({ panel, expr, legend })),
  )
}
