import { create, durationText, element, formatTime, showFacts, timeElement } from './elements.js'
import { showLag } from './lag-plot.js'

/**
 * Maximum time that a job may be overdue without a warning, in milliseconds. The watchdog needs some seconds to start
 * an overdue job.
 */
const MAX_OVERDUE_MS = 30_000

/** Shows the state of the service. */
export function showServiceState(state) {
  showHealth(findProblems(state))
  showLag(state)
  showFreshnessFacts(state)
  showLogouts(state)
  showGaps(state)
  showJobs(state.schedule)
  element('subscribers').textContent = state.subscribers
  element('about').textContent = `${state.tenant}, version ${state.version}, policy ${state.policy}`
  element('updated').textContent = `Updated ${formatTime(state.now)}. Updates every 5 s.`
}

/** Shows that the state is unknown, and the reason. Keeps the data of the last update, with its time. */
export function showUnknown(message) {
  const sentence = `${message[0].toUpperCase()}${message.slice(1)}.`
  showHealth([`${sentence} All below is as of the last update.`], 'Unknown')
}

function findProblems({ lag_ms: lagMs, max_lag_ms: maxLagMs, as_of: asOf, ...state }) {
  const { sweep_remaining: sweep, gap_list: gaps, schedule } = state
  const overdue = schedule.jobs.filter((job) => isOverdue(job, schedule))
  return [
    asOf === null && 'The first catch-up is not complete: no worker has read the log to its end.',
    asOf !== null &&
      lagMs === null &&
      'as_of is ahead of the clock of the database: one of the clocks is wrong.',
    lagMs !== null &&
      lagMs > maxLagMs &&
      `Stale: the lag is ${durationText(lagMs)}, and MAX_LAG is ${durationText(maxLagMs)}. Check the worker with last-logout doctor.`,
    sweep !== null && 'A sweep is not complete: earlier logouts can be missing.',
    gaps.some(({ state }) => state === 'open') && 'A gap is open: see Gaps.',
    schedule.error !== null &&
      `The schedule cannot be read (${schedule.error}): see Scheduled jobs.`,
    overdue.length > 0 && `Overdue: ${overdue.map(({ name }) => name).join(', ')}.`,
  ].filter(Boolean)
}

/** Whether a job was overdue when the schedule was read. The browser's clock can be wrong. */
function isOverdue({ next_at: nextAt }, { read_at: readAt }) {
  return nextAt !== null && Date.parse(nextAt) < Date.parse(readAt) - MAX_OVERDUE_MS
}

function showHealth(problems, title = problems.length === 0 ? 'Healthy' : 'Needs attention') {
  const health = element('health')
  // An assignment would make screen readers announce an unchanged status again.
  if (health.textContent !== title) health.textContent = title
  health.className = `health ${problems.length === 0 ? 'good' : 'bad'}`
  element('problems').replaceChildren(...problems.map((text) => create('li', {}, text)))
}

function showFreshnessFacts(state) {
  showFacts('freshness', {
    'read up to': timeOr(state.as_of, 'never'),
    lag: state.lag_ms === null ? 'unknown' : durationText(state.lag_ms),
    'last poll': timeOr(state.last_poll_at, 'never'),
    'last reconcile': timeOr(state.reconciled_at, 'never'),
    sweep: state.sweep_remaining === null ? 'done' : describeSpan(state.sweep_remaining),
    floor: timeOr(state.floor_at, 'none'),
    checkpoint: state.checkpoint ?? 'none',
  })
}

function showLogouts({ users, sessions, reconciled, unattributable }) {
  const reasons = Object.entries(unattributable).map(([reason, count]) => `${count} ${reason}`)
  showFacts('logouts', {
    users: `${users} with a last logout`,
    sessions: `${sessions} with a logout`,
    reconciled: `${reconciled} rows that polling missed`,
    unattributable: reasons.length === 0 ? 'none' : reasons.join(', '),
  })
}

function showGaps({ gap_list: gaps, gap_advice: advice }) {
  const items = gaps.map((gap) => create('li', {}, describeSpan(gap), `: ${gap.meaning}`))
  element('gaps').replaceChildren(...items)
  element('gap-advice').textContent = gaps.length === 0 ? 'No gap is known.' : (advice ?? '')
}

function describeSpan({ from, to }) {
  return create('span', {}, timeElement(from), ' to ', timeElement(to))
}

function showJobs(schedule) {
  element('jobs-note').textContent = describeSchedule(schedule)
  const { jobs } = schedule
  const byInterval = [...jobs].sort((a, b) => a.interval_ms - b.interval_ms)
  const rows = byInterval.map((job) => {
    const { name, interval_ms: intervalMs } = job
    const interval = intervalMs === null ? '' : `every ${durationText(intervalMs)}, `
    return [name, create('span', {}, interval, describeNext(job, schedule))]
  })
  showFacts('jobs', Object.fromEntries(rows))
}

function describeNext(job, schedule) {
  if (job.next_at === null) return 'next run unknown'
  const label = isOverdue(job, schedule) ? 'overdue since ' : 'next '
  return create('span', {}, label, timeElement(job.next_at))
}

function describeSchedule({ store, error, jobs, read_at: readAt }) {
  const where = store === 'redis' ? 'Redis' : 'PostgreSQL'
  if (error !== null)
    return `The queue in ${where} cannot be read (${error}). last-logout doctor shows why.`
  if (jobs.length > 0) return `From the queue in ${where}, read at ${formatTime(readAt)}.`
  return where === 'Redis'
    ? 'The queue in Redis has no job: no worker has started.'
    : 'The queue in PostgreSQL has no job. If the workers use Redis, set REDIS_URL for this process too. Otherwise, no worker has started.'
}

function timeOr(time, fallback) {
  return time === null ? fallback : timeElement(time)
}
