import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { toRefusal } from '../../src/client/refusal.js'
import { readExample } from '../_support/documents.js'
import { KEY } from '../_support/served-api.js'
import { serveLogouts } from '../_support/served-logouts.js'

const run = promisify(execFile)

/** Jars of Debian: Jackson, Spring 4.3, and what Spring needs. */
const JARS = [
  ...['annotations', 'core', 'databind'].map((name) => `jackson-${name}`),
  ...['beans', 'context', 'core', 'test', 'web'].map((name) => `spring3-${name}`),
  'servlet-api',
  'commons-logging',
].map((name) => `/usr/share/java/${name}.jar`)

const IMPORTS = `
import java.io.IOException;
import javax.servlet.*;
import javax.servlet.http.*;
import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.stereotype.Component;
import org.springframework.web.filter.OncePerRequestFilter;
`

/**
 * Stand-ins for the classes of Spring Security that the filter uses: it is neither in Debian nor on npm. Each has the
 * methods of the original with the same types.
 */
const SPRING_SECURITY = {
  'authentication/AnonymousAuthenticationToken': `public class AnonymousAuthenticationToken
      implements org.springframework.security.core.Authentication {
    private final Object principal;
    public AnonymousAuthenticationToken(Object principal) { this.principal = principal; }
    public Object getPrincipal() { return principal; }
  }`,
  'core/Authentication': 'public interface Authentication { Object getPrincipal(); }',
  'core/context/SecurityContext': `public interface SecurityContext {
    org.springframework.security.core.Authentication getAuthentication();
    void setAuthentication(org.springframework.security.core.Authentication authentication);
  }`,
  'core/context/SecurityContextHolder': `public class SecurityContextHolder {
    private static final SecurityContext CONTEXT = new SecurityContext() {
      private org.springframework.security.core.Authentication authentication;
      public org.springframework.security.core.Authentication getAuthentication() { return authentication; }
      public void setAuthentication(org.springframework.security.core.Authentication next) { authentication = next; }
    };
    public static SecurityContext getContext() { return CONTEXT; }
  }`,
  'oauth2/jwt/Jwt': `public class Jwt {
    private final java.util.Map<String, Object> claims;
    public Jwt(java.util.Map<String, Object> claims) { this.claims = claims; }
    public java.util.Map<String, Object> getClaims() { return claims; }
  }`,
  'oauth2/server/resource/authentication/JwtAuthenticationToken': `import org.springframework.security.oauth2.jwt.Jwt;
  public class JwtAuthenticationToken implements org.springframework.security.core.Authentication {
    private final Jwt token;
    public JwtAuthenticationToken(Jwt token) { this.token = token; }
    public Object getPrincipal() { return token; }
  }`,
}

/** Compiles the filter of the document with its driver. Returns the class path. */
async function compileFilter(dir: string): Promise<string> {
  const filter = await readExample('docs/resource-servers.md', 'Other languages', 'java')
  const sources: Record<string, string> = { LastLogoutFilter: IMPORTS + filter }
  for (const [path, source] of Object.entries(SPRING_SECURITY)) {
    const name = `org/springframework/security/${path}`
    sources[name] = `package ${dirname(name).replaceAll('/', '.')};\n${source}`
  }
  for (const [name, source] of Object.entries(sources)) {
    await mkdir(join(dir, dirname(name)), { recursive: true })
    await writeFile(join(dir, `${name}.java`), source)
  }
  const files = ['examples/java/LastLogout.java', 'test/consumers/drivers/FilterDriver.java']
  const written = Object.keys(sources).map((name) => join(dir, `${name}.java`))
  const classPath = [dir, ...JARS].join(':')
  await run('javac', ['-d', dir, '-cp', classPath, ...files, ...written]).catch((cause) => {
    const packages =
      'default-jdk-headless libjackson2-databind-java libspring-test-java libspring-web-java libspring-context-java libservlet-api-java'
    throw new Error(`javac failed; it needs \`apt-get install ${packages}\``, { cause })
  })
  return classPath
}

test('the filter for Spring Security responds as toRefusal does, lets accepted requests continue, and refuses an authentication without a token', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'spring-filter-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const classPath = await compileFilter(dir)
  const fresh = await serveLogouts()
  onTestFinished(fresh.close)
  await fresh.logOut('auth0|out')
  const unread = await serveLogouts(null)
  onTestFinished(unread.close)

  const request = async (url: string, ...requests: string[]) => {
    const env = { PATH: process.env.PATH, LAST_LOGOUT_URL: url, LAST_LOGOUT_API_KEY: KEY }
    const args = ['-cp', classPath, 'FilterDriver', ...requests]
    const { stdout } = await run('java', args, { env })
    return stdout.trim().split('\n')
  }
  const refusal = toRefusal({ allowed: false, outcome: 'unknown' })
  const unknown = `${refusal?.status} [Retry-After: ${refusal?.headers['Retry-After']}]`
  const revoked = '401 [WWW-Authenticate: Bearer error="invalid_token"]'
  const accepted = '200 [] continues'
  const expected = {
    'jwt auth0|out': revoked,
    'jwt auth0|in': accepted,
    // An authentication that `jwtAuthenticationConverter` of an app has created.
    'app auth0|out': revoked,
    'app auth0|in': accepted,
    // An authentication without the token, such as that of a form login.
    'form auth0|in': unknown,
    anonymous: accepted,
    none: accepted,
  }
  expect(await request(fresh.url, ...Object.keys(expected))).toEqual(Object.values(expected))
  expect(await request(unread.url, 'jwt auth0|in')).toEqual([unknown])
}, 60_000)
