import { readFile } from 'node:fs/promises'

/** The directories of the files: the page, the files that it shares with the demo, and the library for charts. */
const PAGE = new URL('../../src/console/page/', import.meta.url)
const SHARED = new URL('../../src/web/', import.meta.url)
const CHARTS = new URL('../../node_modules/uplot/dist/', import.meta.url)

const TYPES = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
} as const

/** The files of the console by name. The page needs no build step, so these are source files. */
const FILES = {
  'index.html': new URL('index.html', PAGE),
  'console.js': new URL('console.js', PAGE),
  'console.css': new URL('console.css', PAGE),
  'lag-plot.js': new URL('lag-plot.js', PAGE),
  'lookups.js': new URL('lookups.js', PAGE),
  'requests.js': new URL('requests.js', PAGE),
  'state.js': new URL('state.js', PAGE),
  'elements.js': new URL('elements.js', SHARED),
  'read-claims.js': new URL('read-claims.js', SHARED),
  'reasons.js': new URL('reasons.js', SHARED),
  'theme.css': new URL('theme.css', SHARED),
  'icon.svg': new URL('icon.svg', SHARED),
  'uplot.js': new URL('uPlot.esm.js', CHARTS),
  'uplot.css': new URL('uPlot.min.css', CHARTS),
} as const

/** The name of a file of the console. */
export type PageFileName = keyof typeof FILES

/** The names of all files of the console. */
export const PAGE_FILE_NAMES = Object.keys(FILES) as PageFileName[]

/** A file of the console. */
export interface PageFile {
  type: string
  body: Buffer
}

/** Reads a file of the console. */
export async function readPageFile(name: PageFileName): Promise<PageFile> {
  const extension = name.slice(name.lastIndexOf('.') + 1) as keyof typeof TYPES
  return { type: TYPES[extension], body: await readFile(FILES[name]) }
}
