/** Renders a table. The first row is the head. */
export function renderTable([head = [], ...rows]: string[][]): string {
  const renderRow = (cells: string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return `${renderRow(head)}|${'---|'.repeat(head.length)}\n${rows.map(renderRow).join('')}`
}

/** Renders a chart of the directory docs/performance, in a light or a dark variant as the reader's system prefers. */
export function renderPicture(name: string, alt: string): string {
  return `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="performance/${name}-dark.svg">
  <img alt="${alt}" src="performance/${name}-light.svg">
</picture>
`
}
