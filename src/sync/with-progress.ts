import type { LogSource } from '../ports.js'

/** A log source that says of each answer that it has come. */
export function withProgress(source: LogSource, progressed: () => void): LogSource {
  const told = async <T>(answer: Promise<T>): Promise<T> => {
    const value = await answer
    progressed()
    return value
  }
  return {
    readPage: (from, signal) => told(source.readPage(from, signal)),
    search: (search, signal) => told(source.search(search, signal)),
    readNewest: (signal) => told(source.readNewest(signal)),
    readOldest: (signal) => told(source.readOldest(signal)),
  }
}
