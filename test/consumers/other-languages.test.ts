import { readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  type FakeVerdictService,
  openFakeVerdictService,
  SLOW_COUNT,
} from '../_support/fake-verdict-service.js'
import {
  type Driver,
  type DriverCheck,
  LANGUAGES,
  type Language,
  startDriver,
} from '../_support/languages.js'
import { ODD_IDS } from '../_support/odd-ids.js'
import { KEY } from '../_support/served-api.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'
import {
  type Certificates,
  openCertificates,
  openTlsFront,
  type TlsFront,
} from '../_support/tls.js'
import { WAIT } from '../_support/wait.js'

// The directory `examples` contains code in several languages that checks a token with a request to the service. A driver
// is a program that calls the example of its language. `as_of` in a response is the instant up to which the service has
// read the log. The examples reject an `as_of` that is too far ahead.

const SESSION_CLAIM = 'https://last-logout/session_id'
const MINUTE_MS = 60_000
/** Number of characters of the key before the line break in {@link KEY_WITH_LINE_BREAK}. */
const BREAK_AT = 8
const KEY_WITH_LINE_BREAK = `${KEY.slice(0, BREAK_AT)}\n${KEY.slice(BREAK_AT)}`
/** A vector in conformance/verdicts.json. */
interface Vector {
  name: string
  namespace: string
  known: { last_logout_at: string }
  claims: { sub: string }
  outcome: Case['expected']
}
/** The vector with a login before the logout in a claim of another namespace. Its `iat` is after the logout. */
const NAMESPACE_VECTOR = readVector('a namespace')
const NOW_SECONDS = Math.floor(Date.now() / 1000)

function readVector(name: string): Vector {
  const vectors: Vector[] = JSON.parse(readFileSync('conformance/verdicts.json', 'utf8'))
  const vector = vectors.find((candidate) => candidate.name === name)
  if (vector === undefined) throw new Error(`conformance/verdicts.json has no vector ${name}`)
  return vector
}

/** A service with fresh data. */
let freshService: ServedLogouts
/** A service with stale data. */
let staleService: ServedLogouts
/** A service that has not read the log yet. */
let unreadService: ServedLogouts
let fakeService: FakeVerdictService
/** The service with fresh data over HTTPS, with a certificate that the drivers trust. */
let trustedFront: TlsFront
/** The service with fresh data over HTTPS, with another certificate. */
let untrustedFront: TlsFront
let certificates: Certificates
let trustedFile: string
beforeAll(async () => {
  freshService = await serveLogouts()
  staleService = await serveLogouts(Date.now() - 6 * MINUTE_MS)
  unreadService = await serveLogouts(null)
  fakeService = await openFakeVerdictService()
  certificates = await openCertificates()
  const certificate = await certificates.create('IP:127.0.0.1')
  trustedFile = certificate.file
  trustedFront = await openTlsFront(freshService.url, certificate)
  untrustedFront = await openTlsFront(freshService.url, await certificates.create('IP:127.0.0.1'))
  await freshService.logOut('auth0|out')
  await freshService.logOut('auth0|sessions', 'phone')
  const { claims, known } = NAMESPACE_VECTOR
  await freshService.logOut(claims.sub, undefined, Date.parse(known.last_logout_at))
  await staleService.logOut('auth0|out')
  await unreadService.logOut('auth0|out')
  for (const id of ODD_IDS) await freshService.logOut(`odd|${id}`)
})
afterAll(async () => {
  const opened = [
    trustedFront,
    untrustedFront,
    freshService,
    staleService,
    unreadService,
    fakeService,
  ]
  await Promise.all(opened.map(({ close }) => close()))
  await certificates.remove()
})

/** Returns the claims of a token from a minute ago. */
const claimsOf = (sub: string, more: object = {}) => ({ sub, iat: NOW_SECONDS - 60, ...more })

/** A check of a user who has not logged out. Its timeout is never reached. */
const CHECK = { key: KEY, timeoutSeconds: 20, namespace: null, claims: claimsOf('auth0|in') }

/** A check by a service, and its expected outcome. */
interface Case {
  url(): string
  /** Overrides of {@link CHECK}. */
  check?: Partial<DriverCheck>
  expected: 'accepted' | 'revoked' | 'unknown'
}

/** A check by a real service. */
const realCase = (
  expected: Case['expected'],
  claims: object,
  url = () => freshService.url,
): Case => ({
  url,
  check: { claims },
  expected,
})
/** A check by a fake service, which sends the response with this name. */
const fakeCase = (name: string, expected: Case['expected'] = 'unknown'): Case => ({
  url: () => fakeService.urlOf(name),
  expected,
})
/** A check by a fake service whose response is complete only after the default timeout of one second. */
const lateCase = (name: string): Case => ({
  url: () => fakeService.urlOf(name),
  check: { timeoutSeconds: null },
  expected: 'unknown',
})

/** The cases of all languages. */
const CASES: Record<string, Case> = {
  'a user who has not logged out': realCase('accepted', claimsOf('auth0|in')),
  'a login before the logout': realCase('revoked', claimsOf('auth0|out')),
  'a login after the logout': realCase(
    'accepted',
    claimsOf('auth0|out', { iat: NOW_SECONDS + 600 }),
  ),
  'a login that is a string': realCase(
    'revoked',
    claimsOf('auth0|out', { iat: `${NOW_SECONDS - 60}` }),
  ),
  'the ended session': realCase(
    'revoked',
    claimsOf('auth0|sessions', { [SESSION_CLAIM]: 'phone' }),
  ),
  'another session': realCase(
    'accepted',
    claimsOf('auth0|sessions', { [SESSION_CLAIM]: 'laptop' }),
  ),
  'nested claims': realCase('accepted', claimsOf('auth0|in', { 'https://x/': { a: [1.5, null] } })),
  'a slash at the end of the URL': realCase(
    'revoked',
    claimsOf('auth0|out'),
    () => `${freshService.url}/`,
  ),
  'slashes at the end of the URL': realCase(
    'revoked',
    claimsOf('auth0|out'),
    () => `${freshService.url}//`,
  ),
  'a service with HTTPS': realCase('revoked', claimsOf('auth0|out'), () => trustedFront.url),
  'an untrusted certificate': realCase('unknown', claimsOf('auth0|out'), () => untrustedFront.url),
  'a login in a claim of the namespace': {
    url: () => freshService.url,
    check: { claims: NAMESPACE_VECTOR.claims, namespace: NAMESPACE_VECTOR.namespace },
    expected: NAMESPACE_VECTOR.outcome,
  },
  'a login in a claim of a namespace that the example does not have': realCase(
    'accepted',
    NAMESPACE_VECTOR.claims,
  ),
  'an unreadable login': realCase('unknown', claimsOf('auth0|in', { iat: 'soon' })),
  'no subject': realCase('unknown', { iat: NOW_SECONDS }),
  'stale data': realCase('unknown', claimsOf('auth0|in'), () => staleService.url),
  'stale data after a logout': realCase('revoked', claimsOf('auth0|out'), () => staleService.url),
  'data before the first reading': realCase(
    'unknown',
    claimsOf('auth0|in'),
    () => unreadService.url,
  ),
  'a logout before the first reading': realCase(
    'revoked',
    claimsOf('auth0|out'),
    () => unreadService.url,
  ),
  'a machine token': realCase('accepted', claimsOf('orders@clients'), () => unreadService.url),
  'a wrong key': {
    url: () => freshService.url,
    check: { key: 'x'.repeat(32) },
    expected: 'unknown',
  },
  'a key with a line break': {
    url: () => freshService.url,
    check: { key: KEY_WITH_LINE_BREAK },
    expected: 'unknown',
  },
  'an unreachable service': { url: () => 'http://127.0.0.1:1', expected: 'unknown' },
  'a response that is like that of the service': fakeCase('accepting', 'accepted'),
  'data that is half a minute ahead': fakeCase('slightly-ahead', 'accepted'),
  'data that is two minutes ahead': fakeCase('ahead'),
  'a response without `revoked`': fakeCase('no-revoked'),
  'a `revoked` that is a string': fakeCase('revoked-is-a-string'),
  'a `revoked` that is null': fakeCase('revoked-is-null'),
  'a response with only the field `revoked`': fakeCase('no-reason-and-no-as-of'),
  'a response without `as_of`': fakeCase('no-as-of'),
  'an `as_of` that is a word': fakeCase('as-of-is-a-word'),
  'an `as_of` that is a number': fakeCase('as-of-is-a-number'),
  'the response null': fakeCase('null'),
  'a list as the response': fakeCase('list'),
  'a string as the response': fakeCase('string'),
  'an empty response': fakeCase('empty'),
  'a page of HTML': fakeCase('html'),
  'truncated JSON': fakeCase('truncated'),
  'a connection that is cut off': fakeCase('cut-off'),
  'another status with a body that accepts': fakeCase('another-status'),
  'an internal error with a body that accepts': fakeCase('internal-error'),
  'an error with a list as the body': fakeCase('list-error'),
  'an error with a page of HTML': fakeCase('html-error'),
  'a service that does not respond': lateCase('silent'),
  'headers that arrive slowly': lateCase('slow-headers'),
  'headers that never end': lateCase('endless-headers'),
  'a body that arrives slowly': lateCase('slow-body'),
  'a body that never ends': lateCase('endless-body'),
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
      const acceptedCount = fakeService.acceptedRequests.length
      expect(await check(fakeCase(`redirect-${status}`))).toBe('unknown')
      expect(fakeService.acceptedRequests.length).toBe(acceptedCount)
    },
  )

  test('the example distinguishes users whose ids contain special characters', async () => {
    for (const id of ODD_IDS) {
      expect(await check(realCase('revoked', claimsOf(`odd|${id}`))), id).toBe('revoked')
      expect(await check(realCase('accepted', claimsOf(`even|${id}`))), id).toBe('accepted')
    }
  })

  test('the example does not cache results', async () => {
    const entry = realCase('accepted', claimsOf(`auth0|${language.name}`))
    expect(await check(entry)).toBe('accepted')
    await freshService.logOut(`auth0|${language.name}`)
    expect(await check(entry)).toBe('revoked')
  })

  test.each(['htps://127.0.0.1', 'ftp://127.0.0.1', 'localhost'])(
    'the example sends no request to a URL that begins with %s',
    async (start) => {
      const acceptedCount = fakeService.acceptedRequests.length
      const url = fakeService.urlOf('accepting').replace('http://127.0.0.1', start)
      // In Go, `New` returns no error, so each check reports it.
      expect(await check({ url: () => url })).toBe(language.name === 'Go' ? 'unknown' : 'invalid')
      expect(fakeService.acceptedRequests.length).toBe(acceptedCount)
    },
  )

  test('the example logs the message of an error in one short line, which names the claim', async () => {
    await check(realCase('unknown', claimsOf('auth0|in', { iat: 'later' })))
    await check(fakeCase('quoting-error'))
    const lines = driver.log().split('\n')
    expect(lines.some((line) => /status 400: "body\/claims\/iat must be/.test(line))).toBe(true)
    const quoting = lines.filter((line) => /quoted/.test(line))
    expect(quoting).toEqual([expect.stringMatching(/status 400: "quoted\\nBearer .*x"/)])
    expect(quoting[0]?.length).toBeLessThan(400)
  })

  test('the example logs failed checks, without the key', () => {
    expect(driver.log()).toContain('last-logout check failed')
    // The log contains neither a whole key nor the second line of the key with a line break.
    expect(driver.log()).not.toContain(KEY.slice(BREAK_AT))
  })
})

test('the example in Python checks tokens again after a response that arrived slowly has occupied each thread', async () => {
  const python = LANGUAGES.filter(({ name }) => name === 'Python')[0] as Language
  const driver = await startDriver(python, trustedFile)
  onTestFinished(() => driver.close())
  const url = fakeService.urlOf('recovering')
  const check = () => driver.check({ ...CHECK, url, timeoutSeconds: 0.2 })
  for (let i = 0; i < SLOW_COUNT; i++) expect(await check()).toBe('unknown')
  await expect.poll(check, WAIT).toBe('accepted')
})

test('every example is tested, and docs/resource-servers.md links every example', async () => {
  const testedFiles = LANGUAGES.map(({ example }) => example)
  const files = await readdir('examples', { recursive: true, withFileTypes: true })
  const exampleFiles = files
    .filter((file) => file.isFile() && /\.(go|java|php|py|rb)$/.test(file.name))
    .map((file) => `${file.parentPath}/${file.name}`)
  expect(exampleFiles.sort()).toEqual(testedFiles)
  const document = await readFile('docs/resource-servers.md', 'utf8')
  const linked = [...document.matchAll(/\]\(\.\.\/(examples\/[\w/]+\.\w+)\)/g)].map(
    ([, path]) => path,
  )
  expect(linked).toEqual(expect.arrayContaining(testedFiles))
})
