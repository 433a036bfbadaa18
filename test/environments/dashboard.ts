import { readFile } from 'node:fs/promises'

/** A query of a panel of the Grafana dashboard. */
interface Query {
  /** The title of the panel. */
  panel: string
  /** The expression in PromQL. */
  expr: string
  legend: string
}

/** The fields of a panel in the file of the dashboard that hold its queries. */
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
