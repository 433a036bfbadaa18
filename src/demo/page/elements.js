const MAX_ITEMS = 50

const TIME = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
})

export const element = (id) => document.getElementById(id)

/** Accesses a value in the session storage, which survives a redirect to the tenant's login and back. */
export function store(name, fallback) {
  return {
    get: () => JSON.parse(sessionStorage.getItem(name) ?? 'null') ?? fallback,
    set: (value) => sessionStorage.setItem(name, JSON.stringify(value)),
  }
}

/** Prepends a line with its time to a list. */
export function prepend(id, at, message, className) {
  const item = document.createElement('li')
  const time = document.createElement('time')
  time.textContent = clock(at)
  const text = document.createElement('span')
  text.className = className
  text.textContent = message
  item.append(time, text)
  const items = element(id)
  items.prepend(item)
  while (items.children.length > MAX_ITEMS) items.lastElementChild.remove()
}

/** Replaces the content of a description list. */
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

/** Formats a time. Shows milliseconds, because they can decide whether a token is revoked. Adds the date if not today. */
export function clock(time) {
  if (!time) return null
  const at = new Date(time)
  const isToday = at.toDateString() === new Date().toDateString()
  return (isToday ? '' : `${at.toLocaleDateString()} `) + TIME.format(at)
}
