import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'

const PROXY = 'http://proxy.example:3128'
const proxyOf = (env: Record<string, string>) =>
  loadConfig({ AUTH0_DOMAIN: 'tenant.eu.auth0.com', ...env }, []).auth0.proxy
const basicAuthorization = (credentials: string) =>
  `Basic ${Buffer.from(credentials).toString('base64')}`

describe('the proxy to Auth0', () => {
  test.each([
    [PROXY, PROXY, undefined],
    ['proxy.example:3128', PROXY, undefined],
    ['https://proxy.example/', 'https://proxy.example', undefined],
    ['http://[::1]:3128', 'http://[::1]:3128', undefined],
    ['http://me:p%40ss%3Aword@proxy.example:3128', PROXY, basicAuthorization('me:p@ss:word')],
    ['http://me@proxy.example:3128', PROXY, basicAuthorization('me:')],
  ])('the proxy is read from %s', (text, url, authorization) => {
    expect(proxyOf({ HTTPS_PROXY: text })).toEqual({ url, authorization })
  })

  test('no proxy is used by default, or if AUTH0_BASE_URL is an http URL', () => {
    expect(proxyOf({})).toBeUndefined()
    expect(proxyOf({ HTTPS_PROXY: '', https_proxy: '' })).toBeUndefined()
    expect(proxyOf({ HTTPS_PROXY: PROXY, AUTH0_BASE_URL: 'http://127.0.0.1:3000' })).toBeUndefined()
  })

  test('the lower-case variable takes precedence if both variables are set', () => {
    expect(proxyOf({ https_proxy: PROXY })).toMatchObject({ url: PROXY })
    expect(proxyOf({ https_proxy: PROXY, HTTPS_PROXY: 'http://other' })?.url).toBe(PROXY)
    expect(proxyOf({ https_proxy: '', HTTPS_PROXY: PROXY })?.url).toBe(PROXY)
    expect(proxyOf({ HTTPS_PROXY: PROXY, NO_PROXY: '*', no_proxy: 'other' })?.url).toBe(PROXY)
  })

  test.each([
    'socks5://me:hush@proxy.example:1080',
    'ftp://me:hush@proxy.example',
    'http://me:hush@proxy.example/path',
    'http://me:hush@proxy.example/?query',
    'http://me:hush%zz@proxy.example',
    'http://me:hush@proxy.example:port',
    'http://',
  ])('the error for the invalid proxy %s names the variable, but not the value', (value) => {
    for (const name of ['HTTPS_PROXY', 'https_proxy']) {
      expect(() => proxyOf({ [name]: value })).toThrow(`${name} must be the URL of an HTTP proxy`)
      expect(() => proxyOf({ [name]: value })).not.toThrow('hush')
    }
  })
})

describe('NO_PROXY', () => {
  const isDirect = (noProxy: string, baseUrl?: string) =>
    proxyOf({
      HTTPS_PROXY: PROXY,
      NO_PROXY: noProxy,
      ...(baseUrl !== undefined && { AUTH0_BASE_URL: baseUrl }),
    }) === undefined

  test.each([
    '*',
    'tenant.eu.auth0.com',
    'TENANT.eu.Auth0.com',
    'auth0.com',
    '.auth0.com',
    '*.auth0.com',
    'tenant.eu.auth0.com:443',
    'localhost,127.0.0.1, auth0.com',
    'localhost auth0.com',
  ])('the tenant is reached without the proxy if NO_PROXY=%s', (noProxy) =>
    expect(isDirect(noProxy)).toBe(true),
  )

  test.each([
    '',
    ',',
    '.',
    'localhost,127.0.0.1',
    'tenant.eu.auth0.com:8443',
    '0.com',
    'tenant',
    'other.tenant.eu.auth0.com',
    '10.0.0.0/8',
  ])('the tenant is reached through the proxy if NO_PROXY=%j', (noProxy) =>
    expect(isDirect(noProxy)).toBe(false),
  )

  test.each([
    ['127.0.0.1', 'https://127.0.0.1:8443', true],
    ['127.0.0.1:8443', 'https://127.0.0.1:8443', true],
    ['127.0.0.1:443', 'https://127.0.0.1:8443', false],
    ['[::1]', 'https://[::1]:8443', true],
    ['[::1]:8443', 'https://[::1]:8443', true],
  ])('whether NO_PROXY=%s contains the tenant at %s is %s', (noProxy, baseUrl, expected) => {
    expect(isDirect(noProxy, baseUrl)).toBe(expected)
  })
})
