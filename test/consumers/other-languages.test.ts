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

/** A service with fresh data. */
let fresh: ServedLogouts
/** A service with stale data. */
let stale: ServedLogouts
/** A service that has not read the log yet. */
let unread: ServedLogouts
let fakeService: FakeVerdictService
/** The fresh service over HTTPS, with a certificate that the drivers trust. */
let trusted: TlsFront
/** The fresh service over HTTPS, with another certificate. */
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

/** A check of a user who has not logged out. Its timeout is never reached. */
const CHECK = { key: KEY, timeoutSeconds: 20, claims: login('auth0|in') }

/** A check by a service, and its expected outcome. */
interface Case {
  url(): string
  /** Overrides of {@link CHECK}. */
  check?: Partial<DriverCheck>
  expected: 'accepted' | 'revoked' | 'unknown'
}

/** A check by a real service. */
const real = (expected: Case['expected'], claims: object, url = () => fresh.url): Case => ({
  url,
  check: { claims },
  expected,
})
/** A check by a fake service, which sends the response with this name. */
const fake = (name: string, expected: Case['expected'] = 'unknown'): Case => ({
  url: () => fakeService.urlOf(name),
  expected,
})
/** A check by a fake service whose response is complete only after the default timeout of one second. */
const late = (name: string): Case => ({
  url: () => fakeService.urlOf(name),
  check: { timeoutSeconds: null },
  expected: 'unknown',
})

/** The cases of all languages. */
const CASES: Record<string, Case> = {
  'a user who has not logged out': real('accepted', login('auth0|in')),
  'a login before the logout': real('revoked', login('auth0|out')),
  'a login after the logout': real('accepted', login('auth0|out', { iat: NOW + 600 })),
  'a login that is a string': real('revoked', login('auth0|out', { iat: `${NOW - 60}` })),
  'the ended session': real('revoked', login('auth0|sessions', { [SESSION]: 'phone' })),
  'another session': real('accepted', login('auth0|sessions', { [SESSION]: 'laptop' })),
  'nested claims': real('accepted', login('auth0|in', { 'https://x/': { a: [1.5, null] } })),
  'a slash at the end of the URL': real('revoked', login('auth0|out'), () => `${fresh.url}/`),
  'slashes at the end of the URL': real('revoked', login('auth0|out'), () => `${fresh.url}//`),
  HTTPS: real('revoked', login('auth0|out'), () => trusted.url),
  'an untrusted certificate': real('unknown', login('auth0|out'), () => untrusted.url),
  'an unreadable login': real('unknown', login('auth0|in', { iat: 'soon' })),
  'no subject': real('unknown', { iat: NOW }),
  'stale data': real('unknown', login('auth0|in'), () => stale.url),
  'stale data after a logout': real('revoked', login('auth0|out'), () => stale.url),
  'data before the first reading': real('unknown', login('auth0|in'), () => unread.url),
  'a logout before the first reading': real('revoked', login('auth0|out'), () => unread.url),
  'a machine token': real('accepted', login('orders@clients'), () => unread.url),
  'a wrong key': { url: () => fresh.url, check: { key: 'x'.repeat(32) }, expected: 'unknown' },
  'a key with a line break': {
    url: () => fresh.url,
    check: { key: BROKEN_KEY },
    expected: 'unknown',
  },
  'an unreachable service': { url: () => 'http://127.0.0.1:1', expected: 'unknown' },
  'a response that is like that of the service': fake('accepting', 'accepted'),
  'data that is half a minute ahead': fake('slightly-ahead', 'accepted'),
  'data that is two minutes ahead': fake('ahead'),
  'a response without revoked': fake('no-revoked'),
  'revoked as a string': fake('revoked-is-a-string'),
  'revoked as null': fake('revoked-is-null'),
  'a response with revoked alone': fake('no-reason-and-no-as-of'),
  'a response without as_of': fake('no-as-of'),
  'as_of as a word': fake('as-of-is-a-word'),
  'as_of as a number': fake('as-of-is-a-number'),
  'the response null': fake('null'),
  'a list as the response': fake('list'),
  'a string as the response': fake('string'),
  'an empty response': fake('empty'),
  'a page of HTML': fake('html'),
  'truncated JSON': fake('truncated'),
  'a connection that is cut off': fake('cut-off'),
  'another status with a body that accepts': fake('another-status'),
  'an internal error with a body that accepts': fake('internal-error'),
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
    'the example returns the same outcome as the other languages for %s',
    async (_case, entry) => {
      expect(await check(entry)).toBe(entry.expected)
    },
  )

  test.each([301, 302, 303, 307, 308])(
    'the example does not follow a redirect with %i',
    async (status) => {
      const requests = fakeService.acceptedRequests.length
      expect(await check(fake(`redirect-${status}`))).toBe('unknown')
      expect(fakeService.acceptedRequests.length).toBe(requests)
    },
  )

  test('the example distinguishes users with odd ids', async () => {
    for (const id of ODD_IDS) {
      expect(await check(real('revoked', login(`odd|${id}`))), id).toBe('revoked')
      expect(await check(real('accepted', login(`even|${id}`))), id).toBe('accepted')
    }
  })

  test('the example does not cache results', async () => {
    const entry = real('accepted', login(`auth0|${language.name}`))
    expect(await check(entry)).toBe('accepted')
    await fresh.logOut(`auth0|${language.name}`)
    expect(await check(entry)).toBe('revoked')
  })

  test('the example logs failed checks, without the key', () => {
    expect(driver.log()).toContain('last-logout check failed')
    expect(driver.log()).not.toContain(KEY.slice(8))
  })
})

test('every example is tested, and docs/resource-servers.md links every example', async () => {
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
