import { create, durationText, element, formatTime } from './elements.js'
import uPlot from './uplot.js'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const HEIGHT_PX = 220

/** The current plot; `null`: nothing has been drawn yet. It is drawn again when the colors or the width change. */
let plot = null

/** Shows the lag of the last hour as a plot, as a sentence and as a table. */
export function showLag({ history, lag_ms: lagMs, max_lag_ms: maxLagMs }) {
  // The clock of the server can be ahead.
  const now = Math.max(Date.now(), history.at.at(-1) ?? 0)
  const at = [...history.at, now]
  const lags = [...history.lag_ms, lagMs]
  const isFull = now - Date.parse(history.since) >= HOUR_MS
  element('lag-since').textContent = isFull
    ? ''
    : `Recorded since ${formatTime(history.since)}, when this API process started. Earlier values are not kept.`
  showSummary(lags, lagMs, maxLagMs)
  showTable(at, lags)
  draw(at, lags, maxLagMs)
}

/** Draws the plot again, with the width and the colors of this moment. */
export function redrawLag() {
  if (plot === null) return
  const { at, lags, maxLagMs } = plot
  destroy()
  draw(at, lags, maxLagMs)
}

/** Removes the plot. */
export function clearLag() {
  if (plot !== null) destroy()
}

function destroy() {
  plot.chart.destroy()
  plot = null
}

function draw(at, lags, maxLagMs) {
  const seconds = (values) => values.map((value) => (value === null ? null : value / 1000))
  const data = [seconds(at), seconds(lags), at.map(() => maxLagMs / 1000)]
  if (plot === null) plot = { chart: createChart(data) }
  else plot.chart.setData(data)
  Object.assign(plot, { at, lags, maxLagMs })
}

function createChart(data) {
  const container = element('lag-plot')
  const color = (name) => {
    container.style.color = `var(${name})`
    return getComputedStyle(container).color
  }
  const axis = { stroke: color('--plot-text'), grid: { stroke: color('--plot-grid'), width: 1 } }
  const options = {
    width: container.clientWidth,
    height: HEIGHT_PX,
    cursor: { drag: { setScale: false } },
    // The scales have fixed beginnings, so that a small lag does not look large.
    scales: {
      x: { range: (_plot, _min, max) => [max - HOUR_MS / 1000, max] },
      y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] },
    },
    series: [
      { value: '{HH}:{mm}:{ss}' },
      { label: 'lag (s)', stroke: color('--plot-lag'), width: 2, fill: color('--plot-fill') },
      { label: 'MAX_LAG (s)', stroke: color('--plot-max'), width: 1, dash: [6, 4] },
    ],
    axes: [{ ...axis, values: '{HH}:{mm}' }, axis],
  }
  return new uPlot(options, data, container)
}

function showSummary(lags, lagMs, maxLagMs) {
  const known = lags.filter((lag) => lag !== null)
  const unknown = lags.length - known.length
  const parts = [
    lagMs === null ? 'The lag is unknown now' : `The lag is ${durationText(lagMs)} now`,
    known.length > 0 && `at most ${durationText(Math.max(...known))} in the recorded time`,
    unknown > 0 && `unknown at ${unknown} of ${lags.length} samples`,
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
