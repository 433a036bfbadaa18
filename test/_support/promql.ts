/** The name of a metric in a PromQL expression, with its label matchers. */
export interface Selector {
  name: string
  matchers: { label: string; operator: string; value: string }[]
}

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/g
const KEYWORDS = new Set([
  'by',
  'on',
  'without',
  'unless',
  'and',
  'or',
  'ignoring',
  'offset',
  'bool',
])

/** Lists the metrics of a PromQL expression: all names except those of functions and keywords. */
export function readSelectors(expression: string): Selector[] {
  const withoutGroupings = expression
    // Grouping labels and durations are not metrics.
    .replace(/\b(by|on|without|ignoring)\s*\([^)]*\)/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
  const withoutMatchers = withoutGroupings.replace(/\{[^}]*\}/g, (matchers) =>
    ' '.repeat(matchers.length),
  )
  return [...withoutMatchers.matchAll(NAME)]
    .filter(({ 0: name, index }) => {
      const rest = withoutMatchers.slice(index + name.length).trimStart()
      const isFunction = rest.startsWith('(') || /^(sum|min|max|avg|count)$/.test(name)
      const isPartOfNumber = /[0-9.]/.test(withoutMatchers[index - 1] ?? '')
      return !isFunction && !KEYWORDS.has(name) && !isPartOfNumber
    })
    .map(({ 0: name, index }) => {
      const [matchers = ''] = /^\{[^}]*\}/.exec(withoutGroupings.slice(index + name.length)) ?? []
      return { name, matchers: readMatchers(matchers) }
    })
}

/** Lists the labels that an expression groups by. */
export function readGroupings(expression: string): string[] {
  return [...expression.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].flatMap(([, labels = '']) =>
    labels.split(',').flatMap((label) => label.trim() || []),
  )
}

function readMatchers(text: string): Selector['matchers'] {
  return [...text.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(
    ([, label = '', operator = '', value = '']) => ({ label, operator, value }),
  )
}
