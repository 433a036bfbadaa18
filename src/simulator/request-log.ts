import type { IncomingMessage, ServerResponse } from 'node:http'

/** A request that the simulator received. */
interface RecordedRequest {
  readonly method: string
  /** The path and the query. */
  readonly url: string
  /** The status of the response; `null`: no complete response has been sent. */
  readonly status: number | null
}

/** Conditions for the requests to count. Default: all requests. */
interface RequestFilter {
  /** The path, without the query. */
  path?: string
  status?: number
}

/** The received requests, in order of arrival. */
export interface RequestLog {
  all(): readonly RecordedRequest[]
  count(filter?: RequestFilter): number
  clear(): void
  /** Records a request now, and the status of its response later. */
  add(request: IncomingMessage, response: ServerResponse): void
}

/** Creates an empty log of requests. */
export function createRequestLog(): RequestLog {
  let requests: RecordedRequest[] = []

  function count({ path, status }: RequestFilter = {}): number {
    const matching = requests.filter(
      (request) =>
        (path === undefined || request.url.split('?')[0] === path) &&
        (status === undefined || request.status === status),
    )
    return matching.length
  }

  function add(request: IncomingMessage, response: ServerResponse): void {
    const record = {
      method: request.method ?? '',
      url: request.url ?? '',
      status: null as number | null,
    }
    requests.push(record)
    // `finish` would be too late, because a test can receive the response and read the log before that event.
    response.once('prefinish', () => {
      record.status = response.statusCode
    })
  }

  return {
    all: () => requests,
    count,
    clear: () => {
      requests = []
    },
    add,
  }
}
