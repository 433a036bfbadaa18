import type { IncomingMessage, ServerResponse } from 'node:http'

/** One request that reached the simulator. */
interface RecordedRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  /** `null` until it is answered, and for ever after a broken connection. */
  readonly status: number | null
}

/** Which requests to count; everything by default. */
interface RequestFilter {
  /** Without the query. */
  path?: string
  status?: number
}

/** The requests so far, in the order of their arrival. */
export interface RequestLog {
  all(): readonly RecordedRequest[]
  count(filter?: RequestFilter): number
  clear(): void
  /** Records a request, and its status once it is known. */
  add(request: IncomingMessage, response: ServerResponse): void
}

/** An empty log of requests. */
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
    // Not `finish`: by then the caller may have read the answer and asked for this status.
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
