/** One Server-Sent Event. */
export interface ServerSentEvent {
  name: string
  data: string
  /** `null`: the event has none. */
  id: string | null
}

/** No event of the service comes near it, in characters. */
const LONGEST_EVENT = 1_000_000

/**
 * Reads Server-Sent Events as they come; returns what takes the next piece of text.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createEventReader(onEvent: (event: ServerSentEvent) => void) {
  let rest = ''
  return (text: string): void => {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop() ?? ''
    if (rest.length > LONGEST_EVENT) throw new RangeError('an event without an end')
    for (const block of blocks) onEvent(readEvent(block))
  }
}

function readEvent(block: string): ServerSentEvent {
  const event: ServerSentEvent = { name: 'message', data: '', id: null }
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    const value = line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    const field = line.slice(0, colon)
    if (field === 'event') event.name = value
    if (field === 'data') event.data += event.data === '' ? value : `\n${value}`
    if (field === 'id') event.id = value
  }
  return event
}
