import { describe, expect, test } from 'vitest'
import { createLastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { openFakeServer } from '../_support/fake-server.js'
import { openFakeService } from '../_support/fake-service.js'

const requiredOptions = {
  url: 'http://127.0.0.1:1',
  apiKey: 'x'.repeat(32),
  onUnknown: 'deny',
} as const

describe('creating a client', () => {
  test.each(['url', 'apiKey', 'onUnknown'])(
    'the error for the missing option %s names this option',
    (name) => {
      for (const value of [undefined, null, '']) {
        const options = { ...requiredOptions, [name]: value } as never
        expect(() => createLastLogoutClient(options)).toThrow(`${name} is missing`)
        expect(() => createLastLogoutClient(options)).toThrow(TypeError)
      }
    },
  )

  test('the error for a call without options names the option url', () => {
    expect(() => createLastLogoutClient(undefined as never)).toThrow('url is missing')
  })

  test.each<[string, object]>([
    // `URL` takes the text before the first colon for the scheme.
    ['url', { url: 'localhost:8080' }],
    ['url', { url: 'last-logout:8080' }],
    ['url', { url: 'last-logout' }],
    ['url', { url: 'ftp://last-logout.example' }],
    ['url', { url: 'https://user:password@last-logout.example' }],
    // A path that is appended to these URLs would replace their last segment.
    ['url', { url: 'https://gateway.example/base?key=1' }],
    ['url', { url: 'https://gateway.example/base#top' }],
    ['issuer', { issuer: [] }],
    ['issuer', { issuer: ['https://a/', ''] }],
    ['issuer', { issuer: 5 }],
    ['connect', { connect: 'later' }],
    ['namespace', { namespace: '' }],
    ['namespace', { namespace: 'https://acme.example' }],
    ['namespace', { namespace: ' https://acme.example/' }],
    ['namespace', { namespace: 'https://acme.eu.auth0.com/' }],
    ['namespace', { namespace: 5 }],
  ])('the error for an invalid %s names this option', (name, options) => {
    const create = () =>
      createLastLogoutClient({ ...requiredOptions, lookup: 'request', ...options })
    expect(create).toThrow(TypeError)
    expect(create).toThrow(`${name} must be`)
  })
})

test.each(['', '/', '/base', '/base/', ' ', '\n'])(
  'a client with a URL that ends in %j sends its requests to a path of that URL',
  async (end) => {
    const { url, requestedUrls } = await openFakeServer(() => [503, ''])
    const client = openClient(url + end, { lookup: 'request' })
    await client.check({ sub: 'auth0|in', iat: Math.floor(Date.now() / 1000) })
    const base = end.replace(/\/$/, '').trim()
    expect(requestedUrls).toEqual([expect.stringMatching(`^${base}/v1/last-logout`)])
  },
)

test('a check accepts the tokens of each issuer in a list, whether or not the issuer ends in a slash', async () => {
  const { url } = await openFakeService()
  const issuer = ['https://old.example/', 'https://new.example']
  const client = openClient(url, { lookup: 'request', issuer })
  const reasonOf = async (iss: string) =>
    (await client.check({ sub: 'auth0|in', iat: Math.floor(Date.now() / 1000), iss })).reason
  for (const iss of issuer) {
    expect(await reasonOf(iss.replace(/\/$/, ''))).toBe('no_logout')
    expect(await reasonOf(iss.replace(/\/?$/, '/'))).toBe('no_logout')
  }
  expect(await reasonOf('https://other.example/')).toBe('other_issuer')
  expect(await reasonOf('https://new.example//')).toBe('other_issuer')
})
