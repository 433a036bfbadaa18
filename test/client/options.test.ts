import { describe, expect, test } from 'vitest'
import { createLastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { openLogoutStandIn } from '../_support/logout-stand-in.js'

const complete = { url: 'http://127.0.0.1:1', apiKey: 'x'.repeat(32), onUnknown: 'deny' } as const

describe('creating a client', () => {
  test.each(['url', 'apiKey', 'onUnknown'])('without %s throws an error that names it', (name) => {
    for (const value of [undefined, null, '']) {
      const options = { ...complete, [name]: value } as never
      expect(() => createLastLogoutClient(options)).toThrow(`${name} is missing`)
      expect(() => createLastLogoutClient(options)).toThrow(TypeError)
    }
  })

  test('without options throws an error that names the first one', () => {
    expect(() => createLastLogoutClient(undefined as never)).toThrow('url is missing')
  })

  test.each<[string, object]>([
    ['issuer', { issuer: [] }],
    ['issuer', { issuer: ['https://a/', ''] }],
    ['issuer', { issuer: 5 }],
    ['connect', { connect: 'later' }],
  ])('with an invalid %s throws an error that names it', (name, options) => {
    const create = () => createLastLogoutClient({ ...complete, lookup: 'request', ...options })
    expect(create).toThrow(TypeError)
    expect(create).toThrow(`${name} must be`)
  })
})

test('a check accepts the tokens of each issuer in a list, with and without the slash at its end', async () => {
  const { url } = await openLogoutStandIn()
  const issuer = ['https://old.example/', 'https://new.example']
  const client = openClient(url, { lookup: 'request', issuer })
  const reasonOf = async (iss: string) =>
    (await client.check({ sub: 'auth0|in', iat: Math.floor(Date.now() / 1000), iss })).reason
  for (const iss of issuer.flatMap((each) => [each.replace(/\/$/, ''), each.replace(/\/?$/, '/')]))
    expect(await reasonOf(iss)).toBe('no_logout')
  expect(await reasonOf('https://other.example/')).toBe('other_issuer')
  expect(await reasonOf('https://new.example//')).toBe('other_issuer')
})
