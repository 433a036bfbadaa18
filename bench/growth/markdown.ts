/** Renders a table. The first row is the head. */
export function renderTable([head = [], ...rows]: string[][]): string {
  const renderRow = (cells: string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return `${renderRow(head)}|${'---|'.repeat(head.length)}\n${rows.map(renderRow).join('')}`
}

/** Renders a chart of docs/performance, which follows the colours of the reader's system. */
export function renderPicture(name: string, alt: string): string {
  return `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="performance/${name}-dark.svg">
  <img alt="${alt}" src="performance/${name}-light.svg">
</picture>
`
}
