import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { GATEWAY_KEY_HEADER } from './auth.js'
import { DOCS_POLICY } from './security-headers.js'

/** The groups of routes in the OpenAPI document, with their descriptions. The document keeps this order. */
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

/** The logo at the top of the page. */
const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 190 40" width="190" height="40"><text x="0" y="28" fill="#fff" font-family="system-ui, sans-serif" font-size="26" font-weight="600">last-logout</text></svg>`

/** The version, and which optional routes the API has. */
interface DocsOptions {
  version: string
  hasLogStream: boolean
  hasGateways: boolean
  hasLogout: boolean
}

/**
 * Serves the OpenAPI document at `/openapi.json`, and a page for it at `/docs`. Must be called before routes are added.
 */
export async function serveDocs(
  app: FastifyInstance,
  { version, hasLogStream, hasGateways, hasLogout }: DocsOptions,
): Promise<void> {
  const absentGroups: Group[] = []
  if (!hasLogStream) absentGroups.push('Log stream')
  if (!hasGateways) absentGroups.push('Gateways')
  if (!hasLogout) absentGroups.push('Logout')
  const keyInHeader = { type: 'apiKey', in: 'header' } as const
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'last-logout', version, description: 'Last logouts of an Auth0 tenant.' },
      tags: Object.entries(GROUPS)
        .filter(([name]) => !absentGroups.some((group) => group === name))
        .map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer' },
          ...(hasLogStream && { log_stream: { ...keyInHeader, name: 'authorization' } }),
          ...(hasGateways && { gateway_key: { ...keyInHeader, name: GATEWAY_KEY_HEADER } }),
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

/** Returns the OpenAPI tags for a route of a group. */
export function inGroup(group: Group): Group[] {
  return [group]
}
