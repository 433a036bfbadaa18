import { durationText, element, formatTime } from './elements.js'
import { insertLine } from './lists.js'
import { readClaims } from './read-claims.js'
import { run, tokens, updateRun } from './stored.js'

/** Maximum age of live data, in milliseconds. */
const MAX_LIVE_AGE_MS = 10_000

let freshness = null

/** Shows the changes of the feed. Calls `onFreshness` whenever the log has been read up to a later time. */
export function followFeed(onFreshness) {
  const feed = new EventSource('feed')
  feed.addEventListener('change', ({ data }) => showChange(JSON.parse(data)))
  feed.addEventListener('freshness', ({ data }) => {
    const { as_of, lag_ms } = JSON.parse(data)
    const receivedAt = performance.now()
    freshness = { asOf: as_of, ageMs: () => lag_ms + performance.now() - receivedAt }
    onFreshness()
  })
}

function showChange({ kind, at, user_id, session_id, ended }) {
  const text = {
    user: () => `${user_id} logged out`,
    session: () => `session ${session_id.slice(0, 8)}… ${ended ? 'ended' : 'logged out'}`,
    floor: () => 'the floor was raised',
  }[kind]?.()
  if (text === undefined) return
  const stored = tokens.get()
  const isOwn =
    kind === 'floor' || (stored !== null && readClaims(stored.access_token).sub === user_id)
  insertLine('feed', {
    at,
    text: isOwn ? `${text} (you)` : text,
    className: isOwn ? 'own' : 'other',
  })
  const { loggedOutAt, knownAt, ends = {} } = run.get()
  const isKnown = isOwn && loggedOutAt !== undefined && Date.parse(at) >= loggedOutAt
  if (!isKnown || knownAt !== undefined) return
  // The page can notice the end of a connection before the feed delivers the logout.
  updateRun({ knownAt: Math.min(Date.now(), ...Object.values(ends).map((end) => end.at)) })
}

/** Shows the time up to which the log has been read, and the age of this time. */
export function showFreshness() {
  const age = freshness === null ? null : freshness.ageMs()
  const isLive = age !== null && age < MAX_LIVE_AGE_MS
  element('freshness').classList.toggle('live', isLive)
  if (age === null) return
  const hint = isLive ? '' : ': check that the demo is running'
  element('freshness').textContent =
    `Log read up to ${formatTime(freshness.asOf)}, ${durationText(age)} ago${hint}`
}
