import { isRecord } from '../rules/record.js'

/**
 * Reads the items of a log-stream body, which can be JSON lines, an array or one object. Ignores the header
 * `Content-Type`. Yields a line that is not JSON as text.
 */
export function* readLines(body: string): Generator<unknown> {
  // Some clients send a byte order mark, which is not JSON.
  const text = body.replace(/^\ufeff/, '')
  const whole = parse(text)
  if (whole !== undefined) return yield* toItems(whole.value)
  for (const [line] of text.matchAll(/[^\r\n]+/g)) {
    if (line.trim() === '') continue
    // A body of one line was parsed above. A second attempt would also fail, and is slow if the text is deeply nested.
    const parsed = line.length === text.length ? undefined : parse(line)
    if (parsed === undefined) yield line
    else yield* toItems(parsed.value)
  }
}

/**
 * Returns the entry of an item. An item is an entry, a webhook event `{ log_id, data: entry }`, or an EventBridge event
 * `{ detail: { data: entry } }`.
 *
 * @see https://auth0.com/docs/customize/log-streams
 */
export function unwrapEntry(item: unknown): unknown {
  // Only entries have a `type`.
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

/** Parses JSON. Returns `undefined` if the text is not JSON. */
function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}
