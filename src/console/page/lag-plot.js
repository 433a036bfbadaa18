import { clockText, create, durationText, element, formatTime } from './elements.js'
import uPlot from './uplot.js'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

/** Minimum time range of the plot, in milliseconds. */
const MIN_RANGE_MS = MINUTE_MS

/** Minimum upper end of the lag axis, in seconds, so that a small lag does not look large. */
const MIN_AXIS_END_SECONDS = 5

const HEIGHT_PX = 220

/** The displayed samples and their chart; `null`: nothing is displayed. */
let samples = null
let chart = null

/** Shows the lag of the last hour as a plot, as a sentence and as a table. */
export function showLag({ history, lag_ms: lagMs, max_lag_ms: maxLagMs, now: serviceNow }) {
  const since = Date.parse(history.since)
  // The clock of the service can have been set back since it took the last sample. The browser's clock can be wrong.
  const now = Math.max(Date.parse(serviceNow), history.at.at(-1) ?? 0)
  const at = [...history.at, now]
  const lags = [...history.lag_ms, lagMs]
  const isFull = now - since >= HOUR_MS
  element('lag-since').textContent = isFull
    ? ''
    : `Recorded since ${formatTime(since)}, when this API process started. Earlier values are not kept.`
  showSummary(lags, lagMs, maxLagMs)
  showTable(at, lags)
  samples = { at, lags, maxLagMs, since }
  draw()
}

/** Draws the plot again, with the current width and colors. */
export function redrawLag() {
  destroyChart()
  if (samples !== null) draw()
}

/** Removes the plot. */
export function clearLag() {
  destroyChart()
  samples = null
}

function destroyChart() {
  chart?.destroy()
  chart = null
}

function draw() {
  const { at, lags, maxLagMs } = samples
  // The line of MAX_LAG would flatten a plot of small lags.
  const hasMax = Math.max(0, ...lags) > maxLagMs / 4
  const toSeconds = (ms) => (ms === null ? null : ms / 1000)
  const max = hasMax ? [at.map(() => toSeconds(maxLagMs))] : []
  const data = [at.map(toSeconds), lags.map(toSeconds), ...max]
  if (chart !== null && chart.series.length !== data.length) destroyChart()
  if (chart === null) chart = createChart(data, hasMax)
  else chart.setData(data)
}

function createChart(data, hasMax) {
  const container = element('lag-plot')
  const color = createColorReader(container)
  const axis = { stroke: color('--plot-text'), grid: { stroke: color('--plot-grid'), width: 1 } }
  const label = (seconds) => clockText(seconds * 1000)
  const lagSeries = { stroke: color('--plot-lag'), width: 2, fill: color('--plot-fill') }
  const maxSeries = { stroke: color('--plot-max'), width: 1, dash: [6, 4] }
  const options = {
    width: container.clientWidth,
    height: HEIGHT_PX,
    cursor: { drag: { setScale: false } },
    scales: {
      x: { range: (_chart, _min, max) => [firstSecond(max), max] },
      y: { range: (_chart, _min, max) => [0, Math.max(MIN_AXIS_END_SECONDS, max * 1.1)] },
    },
    series: [
      { label: 'time', value: (_chart, seconds) => (seconds === null ? '–' : label(seconds)) },
      { label: 'lag (s)', ...lagSeries },
      ...(hasMax ? [{ label: 'MAX_LAG (s)', ...maxSeries }] : []),
    ],
    axes: [
      {
        ...axis,
        space: 75,
        values: (_chart, splits, _axis, _space, increment) =>
          splits.map((seconds) => label(seconds).slice(0, increment < 60 ? 8 : 5)),
      },
      axis,
    ],
  }
  return new uPlot(options, data, container)
}

/** Returns the first second of the plot: the first recorded second, but at least a minute and at most an hour ago. */
function firstSecond(lastSecond) {
  const last = lastSecond * 1000
  return Math.max(last - HOUR_MS, Math.min(samples.since, last - MIN_RANGE_MS)) / 1000
}

/** Returns a function that reads the value of a color variable from the style sheet. A canvas cannot use variables. */
function createColorReader(container) {
  const probe = container.appendChild(document.createElement('span'))
  const style = getComputedStyle(probe)
  queueMicrotask(() => probe.remove())
  return (name) => {
    probe.style.color = `var(${name})`
    return style.color
  }
}

function showSummary(lags, lagMs, maxLagMs) {
  const knownLags = lags.filter((lag) => lag !== null)
  const unknownCount = lags.length - knownLags.length
  const parts = [
    lagMs === null ? 'The lag is unknown now' : `The lag is ${durationText(lagMs)} now`,
    knownLags.length > 0 && `at most ${durationText(Math.max(...knownLags))} in the recorded time`,
    unknownCount > 0 && `unknown at ${unknownCount} of ${lags.length} samples`,
    `MAX_LAG is ${durationText(maxLagMs)}`,
  ]
  element('lag-summary').textContent = `${parts.filter(Boolean).join(', ')}.`
}

function showTable(at, lags) {
  const minutes = new Map()
  for (const [index, time] of at.entries()) {
    const minute = Math.floor(time / MINUTE_MS) * MINUTE_MS
    const highest = minutes.get(minute) ?? null
    const lag = lags[index]
    minutes.set(minute, lag === null ? highest : Math.max(lag, highest ?? 0))
  }
  const rows = [...minutes]
    .reverse()
    .map(([minute, lag]) =>
      create(
        'tr',
        {},
        create('td', {}, formatTime(minute)),
        create('td', {}, lag === null ? 'unknown' : durationText(lag)),
      ),
    )
  element('lag-rows').replaceChildren(...rows)
}
