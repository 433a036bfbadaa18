import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type FakeVerdictService,
  openFakeVerdictService,
} from '../_support/fake-verdict-service.js'
import { type Driver, type DriverCheck, LANGUAGES, startDriver } from '../_support/languages.js'
import { ODD_IDS } from '../_support/odd-ids.js'
import { KEY } from '../_support/served-api.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'
import {
  type Certificates,
  openCertificates,
  openTlsFront,
  type TlsFront,
} from '../_support/tls.js'

const SESSION = 'https://last-logout/session_id'
const MINUTE_MS = 60_000
const BROKEN_KEY = `${KEY.slice(0, 8)}\n${KEY.slice(8)}`
const NOW = Math.floor(Date.now() / 1000)

/** The service with fresh data, with stale data, and before it has read the log. */
let fresh: ServedLogouts
let stale: ServedLogouts
let unread: ServedLogouts
let fakeService: FakeVerdictService
/** The service with fresh data by HTTPS, with a certificate that the drivers trust, and with another one. */
let trusted: TlsFront
let untrusted: TlsFront
let certificates: Certificates
let trustedFile: string
beforeAll(async () => {
  fresh = await serveLogouts()
  stale = await serveLogouts(Date.now() - 6 * MINUTE_MS)
  unread = await serveLogouts(null)
  fakeService = await openFakeVerdictService()
  certificates = await openCertificates()
  const certificate = await certificates.create('IP:127.0.0.1')
  trustedFile = certificate.file
  trusted = await openTlsFront(fresh.url, certificate)
  untrusted = await openTlsFront(fresh.url, await certificates.create('IP:127.0.0.1'))
  await fresh.logOut('auth0|out')
  await fresh.logOut('auth0|sessions', 'phone')
  await stale.logOut('auth0|out')
  await unread.logOut('auth0|out')
  for (const id of ODD_IDS) await fresh.logOut(`odd|${id}`)
})
afterAll(async () => {
  const opened = [trusted, untrusted, fresh, stale, unread, fakeService]
  await Promise.all(opened.map(({ close }) => close()))
  await certificates.remove()
})

const login = (sub: string, more: object = {}) => ({ sub, iat: NOW - 60, ...more })

/** A check of a user who has not logged out, by a service with fresh data, without a time limit that a test needs. */
const CHECK = { key: KEY, timeoutSeconds: 20, claims: login('auth0|in') }

interface Case {
  url(): string
  check?: Partial<DriverCheck>
  expected: 'accepted' | 'revoked' | 'unknown'
}

const served = (expected: Case['expected'], claims: object, url = () => fresh.url): Case => ({
  url,
  check: { claims },
  expected,
})
const stoodIn = (name: string, expected: Case['expected'] = 'unknown'): Case => ({
  url: () => fakeService.urlOf(name),
  expected,
})
/** The response arrives completely, but later than after the default timeout of one second. */
const late = (name: string): Case => ({
  url: () => fakeService.urlOf(name),
  check: { timeoutSeconds: null },
  expected: 'unknown',
})

/** The cases that hold in every language. */
const CASES: Record<string, Case> = {
  'a user who has not logged out': served('accepted', login('auth0|in')),
  'a login before the logout': served('revoked', login('auth0|out')),
  'a login after the logout': served('accepted', login('auth0|out', { iat: NOW + 600 })),
  'a login that is a string': served('revoked', login('auth0|out', { iat: `${NOW - 60}` })),
  'the ended session': served('revoked', login('auth0|sessions', { [SESSION]: 'phone' })),
  'another session': served('accepted', login('auth0|sessions', { [SESSION]: 'laptop' })),
  'nested claims': served('accepted', login('auth0|in', { 'https://x/': { a: [1.5, null] } })),
  'a slash at the end of the URL': served('revoked', login('auth0|out'), () => `${fresh.url}/`),
  'slashes at the end of the URL': served('revoked', login('auth0|out'), () => `${fresh.url}//`),
  HTTPS: served('revoked', login('auth0|out'), () => trusted.url),
  'an untrusted certificate': served('unknown', login('auth0|out'), () => untrusted.url),
  'an unreadable login': served('unknown', login('auth0|in', { iat: 'soon' })),
  'no subject': served('unknown', { iat: NOW }),
  'stale data': served('unknown', login('auth0|in'), () => stale.url),
  'stale data after a logout': served('revoked', login('auth0|out'), () => stale.url),
  'data before the first reading': served('unknown', login('auth0|in'), () => unread.url),
  'a logout before the first reading': served('revoked', login('auth0|out'), () => unread.url),
  'a machine token': served('accepted', login('orders@clients'), () => unread.url),
  'a wrong key': { url: () => fresh.url, check: { key: 'x'.repeat(32) }, expected: 'unknown' },
  'a key with a line break': {
    url: () => fresh.url,
    check: { key: BROKEN_KEY },
    expected: 'unknown',
  },
  'an unreachable service': { url: () => 'http://127.0.0.1:1', expected: 'unknown' },
  'a response that is like that of the service': stoodIn('accepting', 'accepted'),
  'data that is half a minute ahead': stoodIn('slightly-ahead', 'accepted'),
  'data that is two minutes ahead': stoodIn('ahead'),
  'a response without revoked': stoodIn('no-revoked'),
  'revoked as a string': stoodIn('revoked-is-a-string'),
  'revoked as null': stoodIn('revoked-is-null'),
  'a response with revoked alone': stoodIn('no-reason-and-no-as-of'),
  'a response without as_of': stoodIn('no-as-of'),
  'as_of as a word': stoodIn('as-of-is-a-word'),
  'as_of as a number': stoodIn('as-of-is-a-number'),
  'the response null': stoodIn('null'),
  'a list as the response': stoodIn('list'),
  'a string as the response': stoodIn('string'),
  'an empty response': stoodIn('empty'),
  'a page of HTML': stoodIn('html'),
  'truncated JSON': stoodIn('truncated'),
  'a connection that is cut off': stoodIn('cut-off'),
  'another status with a body that accepts': stoodIn('another-status'),
  'an internal error with a body that accepts': stoodIn('internal-error'),
  'a service that does not respond': late('silent'),
  'headers that arrive slowly': late('slow-headers'),
  'a body that arrives slowly': late('slow-body'),
  'a body that never ends': late('endless-body'),
}

describe.each(LANGUAGES)('in $name', (language) => {
  let driver: Driver
  beforeAll(async () => {
    driver = await startDriver(language, trustedFile)
  }, 120_000)
  afterAll(() => driver.close())

  const check = ({ url, check }: Pick<Case, 'url' | 'check'>) =>
    driver.check({ ...CHECK, url: url(), ...check })

  test.each(Object.entries(CASES))(
    'the example returns the outcome of every language for %s',
    async (_name, entry) => {
      expect(await check(entry)).toBe(entry.expected)
    },
  )

  test.each([301, 302, 303, 307, 308])(
    'the example does not follow a redirect with %i',
    async (status) => {
      const requests = fakeService.accepted.length
      expect(await check(stoodIn(`redirect-${status}`))).toBe('unknown')
      expect(fakeService.accepted.length).toBe(requests)
    },
  )

  test('the example distinguishes users with odd ids', async () => {
    for (const id of ODD_IDS) {
      expect(await check(served('revoked', login(`odd|${id}`))), id).toBe('revoked')
      expect(await check(served('accepted', login(`even|${id}`))), id).toBe('accepted')
    }
  })

  test('the example keeps no result', async () => {
    const entry = served('accepted', login(`auth0|${language.name}`))
    expect(await check(entry)).toBe('accepted')
    await fresh.logOut(`auth0|${language.name}`)
    expect(await check(entry)).toBe('revoked')
  })

  test('the example logs failed checks, without the key', () => {
    expect(driver.log()).toContain('last-logout check failed')
    expect(driver.log()).not.toContain(KEY.slice(8))
  })
})

test('the document links every example, and all are tested', async () => {
  const tested = LANGUAGES.map(({ example }) => example)
  const files = await readdir('examples', { recursive: true, withFileTypes: true })
  const found = files
    .filter((file) => file.isFile() && /\.(go|java|php|py|rb)$/.test(file.name))
    .map((file) => `${file.parentPath}/${file.name}`)
  expect(found.sort()).toEqual(tested)
  const document = await readFile('docs/resource-servers.md', 'utf8')
  const linked = [...document.matchAll(/\]\(\.\.\/(examples\/[\w/]+\.\w+)\)/g)].map(
    ([, path]) => path,
  )
  expect(linked).toEqual(expect.arrayContaining(tested))
})
