import { LineChart } from 'echarts/charts'
import { GridComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

use([LineChart, GridComponent, TitleComponent, SVGRenderer])

/** A curve of a {@link Panel}. */
interface Series {
  name: string
  points: [x: number, y: number][]
}

/** A plot with its own axes. */
export interface Panel {
  /** The label of the y axis, with its unit. */
  title: string
  xTitle: string
  xScale: 'log' | 'value'
  yScale: 'log' | 'value'
  series: Series[]
}

/** Colours of a chart. The background is transparent. */
interface Theme {
  text: string
  /** The colour of axes and grid lines. */
  line: string
  /** The colours of the curves of a panel, in their order. */
  series: string[]
}

/** The themes, by the value of `prefers-color-scheme`. */
export const THEMES: Record<'light' | 'dark', Theme> = {
  light: { text: '#3d444d', line: '#d1d9e0', series: ['#0969da', '#bc4c00', '#1a7f37'] },
  dark: { text: '#c9d1d9', line: '#3d444d', series: ['#58a6ff', '#f0883e', '#3fb950'] },
}

const PANEL_WIDTH = 430
const HEIGHT = 300
/** Space around the plot of a panel. The names of the curves stand at the right. */
const MARGIN = { left: 58, right: 92, top: 48, bottom: 46 }

/** Renders panels side by side as SVG. */
export function renderChart(panels: Panel[], { text, line, series: colours }: Theme): string {
  const size = { width: panels.length * PANEL_WIDTH, height: HEIGHT }
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size })
  const textStyle = { color: text, fontFamily: 'system-ui, sans-serif', fontSize: 12 }
  const axis = {
    axisLabel: { ...textStyle, formatter: formatTick },
    axisLine: { lineStyle: { color: line } },
    axisTick: { show: false },
    splitLine: { show: false },
  }
  chart.setOption({
    animation: false,
    textStyle,
    title: panels.map(({ title }, index) => ({
      text: title,
      left: index * PANEL_WIDTH,
      textStyle: { ...textStyle, fontSize: 14, fontWeight: 600 },
    })),
    grid: panels.map((_panel, index) => ({
      left: index * PANEL_WIDTH + MARGIN.left,
      top: MARGIN.top,
      width: PANEL_WIDTH - MARGIN.left - MARGIN.right,
      height: HEIGHT - MARGIN.top - MARGIN.bottom,
    })),
    xAxis: panels.map(({ xScale, xTitle, series }, index) => ({
      ...axis,
      type: xScale,
      gridIndex: index,
      name: xTitle,
      nameLocation: 'middle',
      nameGap: 28,
      nameTextStyle: textStyle,
      min: Math.min(...series.flatMap(({ points }) => points.map(([x]) => x))),
      max: Math.max(...series.flatMap(({ points }) => points.map(([x]) => x))),
    })),
    yAxis: panels.map(({ yScale }, index) => ({
      ...axis,
      type: yScale,
      gridIndex: index,
      splitLine: { show: true, lineStyle: { color: line } },
    })),
    series: panels.flatMap(({ series }, panel) =>
      series.map(({ name, points }, index) => ({
        type: 'line',
        name,
        data: points,
        xAxisIndex: panel,
        yAxisIndex: panel,
        color: colours[index],
        // Circles would hide a curve of many points.
        symbol: points.length > 20 ? 'none' : 'circle',
        symbolSize: 7,
        lineStyle: { width: 2 },
        // `{a}` is the name of the curve.
        endLabel: { show: true, formatter: '{a}', color: colours[index], fontSize: 12 },
        labelLayout: { moveOverlap: 'shiftY' },
      })),
    ),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}

function formatTick(value: number): string {
  return value.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 2 })
}
