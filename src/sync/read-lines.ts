/**
 * The items of a log stream's body: JSON lines, an array or one object, by what it is and not by
 * what its content type says. A line that is no JSON is given as the text it is.
 */
export function* readLines(body: string): Generator<unknown> {
  // Some writers begin with a byte order mark, which is no JSON.
  const text = body.replace(/^\ufeff/, '')
  const whole = parse(text)
  if (whole !== undefined) return yield* toItems(whole.value)
  for (const [line] of text.matchAll(/[^\r\n]+/g)) {
    if (line.trim() === '') continue
    // The only line is the whole: what is nested deeply takes its time, and once is enough.
    const parsed = line.length === text.length ? undefined : parse(line)
    if (parsed === undefined) yield line
    else yield* toItems(parsed.value)
  }
}

/**
 * The entry within an item: bare, or as a webhook wraps it, `{ log_id, data }`, which EventBridge
 * puts into a `detail`.
 * @see https://auth0.com/docs/customize/log-streams
 */
export function unwrapEntry(item: unknown): unknown {
  // An entry has a type, and no wrapping does.
  if (!isRecord(item) || 'type' in item) return item
  if (isRecord(item.detail)) return unwrapData(item.detail)
  return unwrapData(item)
}

function unwrapData(item: Record<string, unknown>): unknown {
  if (!isRecord(item.data) || 'type' in item) return item
  const logId = item.data.log_id ?? item.log_id
  return logId === undefined ? item.data : { ...item.data, log_id: logId }
}

function toItems(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value]
}

function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
