import { invalidEvent } from './errors.js'

/** One Server-Sent Event. */
export interface ServerSentEvent {
  name: string
  data: string
  /** `null`: the event has no id. */
  id: string | null
}

/** Maximum length of an event, in UTF-16 code units. The events of the service are much shorter. */
const MAX_EVENT_LENGTH = 1_000_000

/**
 * Creates a parser for a stream of Server-Sent Events.
 *
 * @param onEvent Called for each complete event.
 * @returns A function that takes the next piece of the stream. It throws `NOT_UNDERSTOOD` if an event is too long.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createEventReader(onEvent: (event: ServerSentEvent) => void) {
  let incomplete = ''
  return (text: string): void => {
    const blocks = (incomplete + text).split('\n\n')
    incomplete = blocks.pop() ?? ''
    if (incomplete.length > MAX_EVENT_LENGTH) {
      throw invalidEvent(
        `the change feed sent an event of more than ${MAX_EVENT_LENGTH} characters`,
      )
    }
    for (const block of blocks) onEvent(readEvent(block))
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
