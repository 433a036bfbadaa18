import { describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { loadRecording, type RecordedCall, readRecording } from '../../src/simulator/recording.js'
import { start } from './start.js'

const FOLDER = new URL('../fixtures/auth0-recordings/', import.meta.url)
const GO_RECORDING = 'go-auth0_pull_checkpoint_2023-03-14.recording.json'
const RUBY_RECORDING = 'ruby-auth0_pull_first-page-then-checkpoint_2021-09-03.recording.json'

/** The recorded headers that the simulator must reproduce. */
const HEADERS = [
  'date',
  'content-type',
  'link',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
]

/** Returns the query of a recorded request, with the `?`. */
function queryOf({ request }: RecordedCall): string {
  return new URL(request.url).search
}

// Each recording contains requests of an SDK to the Logs API of a real tenant, with the responses. The simulator loads
// the recorded entries, and must then respond to the same requests in the same way.
describe('recorded traffic', () => {
  test('the simulator reproduces the traffic of ruby-auth0: bodies, order and headers', async () => {
    const calls = readRecording(new URL(RUBY_RECORDING, FOLDER))
    // The recorded headers contain a limit of 50 requests.
    const rateLimit = { burst: 50, perSecond: 16 }
    const { tenant, clock, logs } = await start({ domain: 'auth0-sdk-tests.auth0.com', rateLimit })
    clock.ms = Date.parse('Fri, 03 Sep 2021 20:16:32 GMT')
    loadRecording(tenant, calls)
    for (const call of calls) {
      const response = await logs(queryOf(call))
      expect(response.status).toBe(call.response.status)
      expect(await response.text()).toBe(JSON.stringify(call.response.body))
      for (const name of HEADERS) {
        expect(response.headers.get(name)).toBe(recordedHeader(call, name))
      }
      // At 16 requests per second, the request is available again after 100 ms. In the recording, too, each response
      // has 49 remaining requests.
      clock.ms += 100
    }
  })

  test('the simulator reproduces the traffic of go-auth0: bodies and order', async () => {
    const calls = readRecording(new URL(GO_RECORDING, FOLDER))
    const { tenant, logs } = await start({ domain: 'go-auth0-dev.eu.auth0.com' })
    loadRecording(tenant, calls)
    // The recorded search requests the second page. The first page contained five newer entries.
    for (let n = 0; n < 5; n++) tenant.write(buildEntry('seccft'))
    for (const call of calls) {
      const response = await logs(queryOf(call))
      expect(response.status).toBe(call.response.status)
      expect(await response.text()).toBe(JSON.stringify(call.response.body))
      expect(response.headers.get('content-type')).toBe(recordedHeader(call, 'content-type'))
    }
  })

  test('the simulator responds to the last request of go-auth0 with a Link to the next page', async () => {
    const calls = readRecording(new URL(GO_RECORDING, FOLDER))
    const { tenant, logs } = await start({ domain: 'go-auth0-dev.eu.auth0.com' })
    loadRecording(tenant, calls)
    const lastCall = calls.at(-1) as RecordedCall
    const lastId = lastCall.response.body.at(-1)?.log_id
    const response = await logs(queryOf(lastCall))
    expect(response.headers.get('link')).toBe(
      `<https://go-auth0-dev.eu.auth0.com/api/v2/logs?from=${lastId}&take=2>; rel="next"`,
    )
  })
})

/** Returns the value of a recorded header; `null`: the response has no such header. */
function recordedHeader({ response }: RecordedCall, name: string): string | null {
  const header = Object.entries(response.headers).find(([key]) => key.toLowerCase() === name)
  return header?.[1][0] ?? null
}
