const LONGEST_LIST = 50

const TIME = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
})

export const element = (id) => document.getElementById(id)

/** A value that outlives the way to the tenant's login and back. */
export function store(name, fallback) {
  return {
    get: () => JSON.parse(sessionStorage.getItem(name) ?? 'null') ?? fallback,
    set: (value) => sessionStorage.setItem(name, JSON.stringify(value)),
  }
}

/** Puts a line at the beginning of a list, with its time. */
export function prepend(id, at, said, className) {
  const item = document.createElement('li')
  const time = document.createElement('time')
  time.textContent = clock(at)
  const text = document.createElement('span')
  text.className = className
  text.textContent = said
  item.append(time, text)
  const items = element(id)
  items.prepend(item)
  while (items.children.length > LONGEST_LIST) items.lastElementChild.remove()
}

/** Fills a list of names and values. */
export function list(id, values) {
  const rows = Object.entries(values).flatMap(([name, value]) => {
    const term = document.createElement('dt')
    term.textContent = name
    const description = document.createElement('dd')
    description.textContent = value ?? '–'
    return [term, description]
  })
  element(id).replaceChildren(...rows)
}

/** To the millisecond, since that is what decides; with the day where it is not today. */
export function clock(time) {
  if (!time) return null
  const at = new Date(time)
  const isToday = at.toDateString() === new Date().toDateString()
  return (isToday ? '' : `${at.toLocaleDateString()} `) + TIME.format(at)
}
