import type { IncomingMessage, ServerResponse } from 'node:http'

/** One request that reached the simulator. */
interface RecordedRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  /** `null` until the response is sent, and permanently after a broken connection. */
  readonly status: number | null
}

/** The requests to count. Default: all. */
interface RequestFilter {
  /** Without the query. */
  path?: string
  status?: number
}

/** The received requests, in order of arrival. */
export interface RequestLog {
  all(): readonly RecordedRequest[]
  count(filter?: RequestFilter): number
  clear(): void
  /** Records a request, and its status once it is known. */
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
    // Not `finish`: before that event the client can have read the response, and the test this status.
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
