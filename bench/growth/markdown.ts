/** Renders a table. The first row is the header. */
export function renderTable([header = [], ...rows]: string[][]): string {
  const renderRow = (cells: string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return `${renderRow(header)}|${'---|'.repeat(header.length)}\n${rows.map(renderRow).join('')}`
}

/** Renders a chart of the directory docs/performance. The browser shows the light or the dark variant. */
export function renderPicture(name: string, alt: string): string {
  return `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="performance/${name}-dark.svg">
  <img alt="${alt}" src="performance/${name}-light.svg">
</picture>
`
}
