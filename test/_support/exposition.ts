/** One line with a value: the name of the metric, its labels and the value. */
interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** A metric with all its samples. */
export interface Family {
  name: string
  type: string
  help: string
  samples: Sample[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const HELP = new RegExp(`^# HELP (${NAME}) (.+)$`)
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`)
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
/** One label, such as `job="poll"`, and the comma or the end of the text after it. */
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y

/**
 * Parses metrics in the text format of Prometheus. Returns them by name.
 *
 * @throws `Error` if the text violates the format. In a valid text, HELP, TYPE and the samples of a metric are
 *   adjacent, names and samples are unique, no counter is negative, and histograms are cumulative.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function parseExposition(text: string): Map<string, Family> {
  assert(text.endsWith('\n'), 'ends with a line feed')
  const families = new Map<string, Family>()
  const sampleKeys = new Set<string>()
  let current: Family | undefined
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const [, helpName = '', help = ''] = HELP.exec(line) ?? []
    const [, typeName, type = ''] = TYPE.exec(line) ?? []
    if (helpName !== '') {
      assert(!families.has(helpName), `${helpName} occurs once`)
      current = { name: helpName, type: '', help, samples: [] }
      families.set(helpName, current)
    } else if (typeName !== undefined) {
      assert(
        typeName === current?.name && current.type === '',
        `the type of ${typeName} follows its help`,
      )
      current.type = type
    } else {
      const sample = parseSample(line)
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
      assert(!sampleKeys.has(key), `${line} occurs once`)
      sampleKeys.add(key)
      assert(current !== undefined && isSampleOf(sample, current), `${line} follows its metric`)
      current.samples.push(sample)
    }
  }
  for (const family of families.values()) assertValid(family)
  return families
}

function parseSample(line: string): Sample {
  const [, name = '', labelText = '', valueText = ''] = SAMPLE.exec(line) ?? []
  assert(name !== '', `${line} is a sample`)
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  for (let offset = 0; offset < labelText.length; offset = LABEL.lastIndex) {
    const [, label = '', value = ''] = LABEL.exec(labelText) ?? []
    assert(label !== '' && !(label in labels), `${line} has valid labels`)
    labels[label] = value.replace(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char))
  }
  return { name, labels, value: parseNumber(valueText) }
}

/** Parses a number in the format of Prometheus. */
function parseNumber(text: string): number {
  if (/^[+-]?inf$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity
  if (/^nan$/i.test(text)) return Number.NaN
  assert(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text), `${text} is a number`)
  return Number(text)
}

function isSampleOf({ name }: Sample, family: Family): boolean {
  if (family.type !== 'histogram') return name === family.name
  return ['_bucket', '_sum', '_count'].some((suffix) => name === family.name + suffix)
}

function assertValid(family: Family): void {
  const { name, type, samples } = family
  assert(type !== '', `${name} has a type`)
  if (type === 'counter')
    assert(
      samples.every(({ value }) => value >= 0),
      `${name} is not negative`,
    )
  if (type === 'histogram')
    for (const series of groupBySeries(samples)) assertHistogram(name, series)
}

/** Groups the samples of a histogram. In a group, all labels are the same, except the bucket bound `le`. */
function groupBySeries(samples: Sample[]): Iterable<Sample[]> {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const { le, ...labels } = sample.labels
    const key = JSON.stringify(Object.entries(labels).sort())
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  return groups.values()
}

function assertHistogram(name: string, series: Sample[]): void {
  const buckets = series.filter((sample) => sample.name === `${name}_bucket`)
  const count = series.find((sample) => sample.name === `${name}_count`)
  const bounds = buckets.map(({ labels }) => parseNumber(labels.le ?? ''))
  const neverFalls = (numbers: number[]) =>
    numbers.every((number, index) => index === 0 || number >= (numbers[index - 1] ?? number))
  assert(
    neverFalls(bounds) && neverFalls(buckets.map(({ value }) => value)),
    `${name} is cumulative`,
  )
  assert(bounds.at(-1) === Infinity, `${name} ends with +Inf`)
  assert(buckets.at(-1)?.value === count?.value, `${name} has the count of its buckets`)
  assert(series.length === buckets.length + 2, `${name} has one sum and one count`)
}

function assert(condition: boolean, expectation: string): asserts condition {
  if (!condition) throw new Error(`invalid exposition, expected: ${expectation}`)
}
