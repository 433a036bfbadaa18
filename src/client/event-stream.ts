import { invalidEvent } from './errors.js'

/** One Server-Sent Event. */
export interface ServerSentEvent {
  name: string
  data: string
  /** `null`: the event has no id. */
  id: string | null
}

/** Maximum length of an event, in UTF-16 code units. The events of the service are shorter. */
const MAX_EVENT_LENGTH = 1_000_000

/**
 * Reads the event at `begin` if the event has a usual form, and delivers it. Takes less time than the general parser.
 *
 * @returns The position after the event; -1: the event has no usual form, or is not complete.
 */
export type FastReader = (text: string, begin: number) => number

/**
 * Creates a parser for a stream of Server-Sent Events.
 *
 * @param onEvent Called for each complete event that `readFast` does not read.
 * @param readFast Called for each event first. Default: none.
 * @returns A function that takes the next piece of the stream. It throws `NOT_UNDERSTOOD` if an event is too long.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createEventReader(
  onEvent: (event: ServerSentEvent) => void,
  readFast: FastReader = () => -1,
) {
  let incomplete = ''
  /** Reads the event at `begin`. Returns the position after it; -1: the event is not complete. */
  const readNext = (text: string, begin: number): number => {
    const next = readFast(text, begin)
    if (next >= 0) return next
    const end = text.indexOf('\n\n', begin)
    if (end < 0) return -1
    onEvent(readEvent(text.slice(begin, end)))
    return end + 2
  }
  /** Reads all complete events of a text. Returns the rest of the text. */
  const readAll = (text: string): string => {
    let begin = 0
    for (let next = 0; next >= 0; next = readNext(text, begin)) begin = next
    return text.slice(begin)
  }
  let endsInLineFeed = false
  return (piece: string): void => {
    if (piece === '') return
    // Until the end of an event arrives, only the new piece is searched: V8 copies a concatenated string before it
    // searches the string.
    const hasEnd = piece.includes('\n\n') || (endsInLineFeed && piece.startsWith('\n'))
    endsInLineFeed = piece.endsWith('\n')
    incomplete += piece
    if (hasEnd) incomplete = readAll(incomplete)
    if (incomplete.length > MAX_EVENT_LENGTH) {
      throw invalidEvent(
        `the change feed sent an event of more than ${MAX_EVENT_LENGTH} characters`,
      )
    }
  }
}

function readEvent(block: string): ServerSentEvent {
  const event: ServerSentEvent = { name: 'message', data: '', id: null }
  let begin = 0
  while (begin < block.length) {
    const nextLine = block.indexOf('\n', begin)
    const end = nextLine < 0 ? block.length : nextLine
    readLine(block.slice(begin, end), event)
    begin = end + 1
  }
  return event
}

function readLine(line: string, event: ServerSentEvent): void {
  const colon = line.indexOf(':')
  const value = line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
  const field = line.slice(0, colon)
  if (field === 'data') event.data += event.data === '' ? value : `\n${value}`
  else if (field === 'event') event.name = value
  else if (field === 'id') event.id = value
}
