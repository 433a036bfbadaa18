import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { GATEWAY_KEY_HEADER } from './auth.js'
import { DOCS_POLICY } from './security-headers.js'

/** The groups of routes in the OpenAPI document, in their order, with what each is for. */
const GROUPS = {
  'Last logouts': 'For the login Action and resource servers: when a user logged out',
  Checks: 'For resource servers without the client: whether a token is revoked',
  'Change feed': 'For the client: every change of a last logout, as pages or as a stream',
  Reports: 'For applications: a logout that counts at once',
  'Log stream': 'For Auth0: entries as soon as they are written',
  Gateways: 'For gateways: whether a request with the token of a user may continue',
  Logout: 'For applications: reports a logout, then redirects to Auth0',
  Console: 'For operators: the data of the page at /console',
  'Health and metrics': 'For orchestrators and Prometheus',
}

/** The name of a group of routes. */
export type Group = keyof typeof GROUPS

/** The name at the top of the page. */
const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 190 40" width="190" height="40"><text x="0" y="28" fill="#fff" font-family="system-ui, sans-serif" font-size="26" font-weight="600">last-logout</text></svg>`

/** What the documentation contains. */
interface DocsOptions {
  version: string
  hasLogStream: boolean
  /** Whether gateways can ask about the tokens of users. */
  hasGateways: boolean
  hasLogout: boolean
}

/** Serves the OpenAPI document at `/openapi.json`, and a page for it at `/docs`. Register it before the routes. */
export async function serveDocs(
  app: FastifyInstance,
  { version, hasLogStream, hasGateways, hasLogout }: DocsOptions,
): Promise<void> {
  const absent: Group[] = []
  if (!hasLogStream) absent.push('Log stream')
  if (!hasGateways) absent.push('Gateways')
  if (!hasLogout) absent.push('Logout')
  const token = { type: 'apiKey', in: 'header', name: 'authorization' } as const
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'last-logout', version, description: 'Last logouts of an Auth0 tenant.' },
      tags: Object.entries(GROUPS)
        .filter(([name]) => !absent.some((group) => group === name))
        .map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer' },
          ...(hasLogStream && { log_stream: token }),
          ...(hasGateways && { gateway_key: { ...token, name: GATEWAY_KEY_HEADER } }),
        },
      },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: DOCS_POLICY,
    theme: { title: 'last-logout API' },
    logo: { type: 'image/svg+xml', content: Buffer.from(LOGO) },
  })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}

/** Returns the tags of the routes of a group. */
export function inGroup(group: Group): Group[] {
  return [group]
}
