import { create, element, timeElement } from './elements.js'

const MAX_ITEMS = 200

/** Inserts a line into a list that is in order of time. If the line is the last of the list, scrolls to the line. */
export function insertLine(id, { at, text, className }) {
  const list = element(id)
  const item = create(
    'li',
    { className: className ?? '' },
    timeElement(at),
    create('span', {}, text),
  )
  item.dataset.at = new Date(at).getTime()
  const later = [...list.children].find(
    (other) => Number(other.dataset.at) > Number(item.dataset.at),
  )
  list.insertBefore(item, later ?? null)
  while (list.children.length > MAX_ITEMS) list.firstElementChild.remove()
  if (later === undefined) list.parentElement.scrollTop = list.parentElement.scrollHeight
}
