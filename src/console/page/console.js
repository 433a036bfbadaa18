import { element } from './elements.js'
import { clearLag, redrawLag } from './lag-plot.js'
import { clearLookups, handleLookups } from './lookups.js'
import { hasKey, RequestError, requestWithKey, setKey } from './requests.js'
import { showServiceState, showUnknown } from './state.js'

const UPDATE_INTERVAL_MS = 5_000

/** The status of the response to a wrong key, to a key without the role, and to a throttled address. */
const REFUSED = [401, 403, 429]

let isUpdating = false

element('key-form').addEventListener('submit', (event) => {
  event.preventDefault()
  openConsole(element('key').value.trim())
})
element('lock').addEventListener('click', () => closeConsole(''))
handleLookups()
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawLag)
addEventListener('resize', redrawLag)
element('key').focus()
setInterval(updateIfIdle, UPDATE_INTERVAL_MS)

/** Shows the data if the API accepts the key. */
async function openConsole(key) {
  setKey(key)
  await update()
  if (!hasKey()) return
  // Removes the key from the field.
  element('key').value = ''
  element('health-title').scrollIntoView({ block: 'nearest' })
}

/** Discards the key and all data, and shows the form for the key. */
function closeConsole(message) {
  setKey(null)
  clearLookups()
  show(false)
  clearLag()
  element('key-error').textContent = message
  element('key').focus()
}

/** Updates the data, unless there is no key or an update is in progress. */
async function updateIfIdle() {
  if (hasKey() && !isUpdating) await update()
}

async function update() {
  isUpdating = true
  try {
    const state = await requestWithKey('console/data')
    // The operator can discard the key during the request.
    if (!hasKey()) return
    show(true)
    showServiceState(state)
  } catch (error) {
    if (REFUSED.includes(error.status)) return closeConsole(error.message)
    const isRequestError = error instanceof RequestError
    // An API of another version can respond with other fields.
    const message = isRequestError ? error.message : 'the response is unreadable: reload the page'
    if (element('data').hidden) return closeConsole(message)
    showUnknown(message)
    if (!isRequestError) throw error
  } finally {
    isUpdating = false
  }
}

function show(isOpen) {
  element('key-section').hidden = isOpen
  element('data').hidden = !isOpen
  element('lock').hidden = !isOpen
}
