import { describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { loadRecording, type RecordedCall, readRecording } from '../../src/simulator/recording.js'
import { start } from './start.js'

const FOLDER = new URL('../fixtures/auth0-recordings/', import.meta.url)
const GO_RECORDING = 'go-auth0_pull_checkpoint_2023-03-14.recording.json'
const RUBY_RECORDING = 'ruby-auth0_pull_first-page-then-checkpoint_2021-09-03.recording.json'

/** The headers whose values the recording contains. */
const HEADERS = [
  'date',
  'content-type',
  'link',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
]

function queryOf({ request }: RecordedCall): string {
  return new URL(request.url).search
}

describe('recorded traffic', () => {
  test('the simulator reproduces the traffic of ruby-auth0: bodies, order and headers', async () => {
    const exchanges = readRecording(new URL(RUBY_RECORDING, FOLDER))
    const rateLimit = { burst: 50, perSecond: 16 }
    const { tenant, clock, logs } = await start({ domain: 'auth0-sdk-tests.auth0.com', rateLimit })
    clock.ms = Date.parse('Fri, 03 Sep 2021 20:16:32 GMT')
    loadRecording(tenant, exchanges)
    for (const exchange of exchanges) {
      const response = await logs(queryOf(exchange))
      expect(response.status).toBe(exchange.response.status)
      expect(await response.text()).toBe(JSON.stringify(exchange.response.body))
      for (const name of HEADERS) {
        expect(response.headers.get(name)).toBe(recordedHeader(exchange, name))
      }
      // A tenth of a second refills the bucket, as in the recording.
      clock.ms += 100
    }
  })

  test('the simulator reproduces the traffic of go-auth0: bodies and order', async () => {
    const exchanges = readRecording(new URL(GO_RECORDING, FOLDER))
    const { tenant, logs } = await start({ domain: 'go-auth0-dev.eu.auth0.com' })
    loadRecording(tenant, exchanges)
    // The recorded search requests the second page. The first page contained five newer entries.
    for (let i = 0; i < 5; i++) tenant.write(buildEntry('seccft'))
    for (const exchange of exchanges) {
      const response = await logs(queryOf(exchange))
      expect(response.status).toBe(exchange.response.status)
      expect(await response.text()).toBe(JSON.stringify(exchange.response.body))
      expect(response.headers.get('content-type')).toBe(recordedHeader(exchange, 'content-type'))
    }
  })

  test('the simulator reproduces the recorded Link to the next page', async () => {
    const exchanges = readRecording(new URL(GO_RECORDING, FOLDER))
    const { tenant, logs } = await start({ domain: 'go-auth0-dev.eu.auth0.com' })
    loadRecording(tenant, exchanges)
    const checkpoint = exchanges.at(-1) as RecordedCall
    const last = checkpoint.response.body.at(-1)?.log_id
    const response = await logs(queryOf(checkpoint))
    expect(response.headers.get('link')).toBe(
      `<https://go-auth0-dev.eu.auth0.com/api/v2/logs?from=${last}&take=2>; rel="next"`,
    )
  })
})

function recordedHeader({ response }: RecordedCall, name: string): string | null {
  const header = Object.entries(response.headers).find(([key]) => key.toLowerCase() === name)
  return header?.[1][0] ?? null
}
