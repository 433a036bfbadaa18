import type { LogSource } from '../ports.js'

/** Creates a log source that calls `onResponse` after each response of Auth0, for example to report progress. */
export function withHeartbeat(source: LogSource, onResponse: () => void): LogSource {
  const report = async <T>(response: Promise<T>): Promise<T> => {
    const value = await response
    onResponse()
    return value
  }
  return {
    readPage: (from, signal) => report(source.readPage(from, signal)),
    search: (search, signal) => report(source.search(search, signal)),
    readNewest: (signal) => report(source.readNewest(signal)),
    readOldest: (signal) => report(source.readOldest(signal)),
    awaitSpareBudget: source.awaitSpareBudget,
  }
}
