import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { Client, ClientMetadata, Configuration, KoaContextWithOIDC } from 'oidc-provider'
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js'
import { AccessDenied } from 'oidc-provider/lib/helpers/errors.js'
import { Provider } from 'oidc-provider/lib/provider.js'
import { loginRoutes, messagePage, signOutPage } from './login-pages.js'
import type { DemoApplication, DemoUser, Logins } from './logins.js'

/** The audience of the access tokens. */
export const AUDIENCE = 'https://orders.example.com'

const DAY_SECONDS = 86_400
/** The default lifetimes of Auth0, in seconds. */
const TTL = {
  AccessToken: DAY_SECONDS,
  AuthorizationCode: 60,
  Grant: 30 * DAY_SECONDS,
  IdToken: DAY_SECONDS / 2,
  Interaction: 3_600,
  RefreshToken: 30 * DAY_SECONDS,
  Session: 3 * DAY_SECONDS,
}

/** The claims that the Action adds to an ID token. */
const ACTION_CLAIMS = ['authenticated_at', 'session_id', 'last_logout'].map(
  (name) => `https://last-logout/${name}`,
)

/** The options of {@link createProvider}. */
export interface ProviderOptions {
  issuer: string
  /** The applications that users can log in to (RFC 7591 §2). */
  clients: readonly ClientMetadata[]
  users: readonly DemoUser[]
  logins: Logins
}

/**
 * Creates an OpenID provider that simulates the login of an Auth0 tenant, with Auth0's paths. A logout ends the
 * session, but revokes no token. The Action runs at every login and at every exchange of a refresh token.
 */
export function createProvider(options: ProviderOptions): Provider {
  const { issuer, clients, users, logins } = options
  const provider = new Provider(issuer, {
    ...configure(options),
    clients: clients.map((client) => ({
      grant_types: ['authorization_code', 'refresh_token'],
      ...client,
    })),
  })
  provider.use(loginRoutes(provider, users))
  provider.on('end_session.success', ({ oidc: { session, client } }: KoaContextWithOIDC) => {
    const user = users.find(({ userId }) => userId === session?.accountId)
    if (session && user) logins.logOut(user, session.uid, client && applicationOf(client))
  })
  return provider
}

function configure({ users, logins }: ProviderOptions): Configuration {
  return {
    adapter: createMemoryAdapter(),
    jwks: { keys: [createKey()] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    ttl: TTL,
    routes: {
      authorization: '/authorize',
      token: '/oauth/token',
      end_session: '/oidc/logout',
      jwks: '/.well-known/jwks.json',
    },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub', 'sid', ...ACTION_CLAIMS] },
    clientBasedCORS: () => true,
    interactions: { url: (_ctx, { uid }) => `/login/${uid}` },
    findAccount: (_ctx, accountId, token) => ({
      accountId,
      claims: () => ({ sub: accountId, ...logins.claimsOf(grantIdOf(token)).idToken }),
    }),
    loadExistingGrant: (ctx) => createGrant(ctx, users, logins),
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    // The Action runs before the rotation. As with Auth0, a denied exchange does not consume the refresh token.
    async rotateRefreshToken({ oidc }) {
      const denialReason = await logins.refresh(oidc.entities.RefreshToken?.grantId ?? '')
      if (denialReason !== null) throw new AccessDenied(denialReason)
      return true
    },
    extraTokenClaims: (_ctx, token) => logins.claimsOf(grantIdOf(token)).accessToken,
    // As with Auth0, a logout revokes no token. The demo shows how last-logout and the Action reject the tokens.
    expiresWithSession: () => false,
    renderError(ctx, { error, error_description }) {
      ctx.type = 'html'
      ctx.body = messagePage(error, error_description ?? '')
    },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: TTL.AccessToken,
        }),
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource(ctx, form) {
          ctx.body = signOutPage(form)
        },
        postLogoutSuccessSource(ctx) {
          ctx.body = messagePage('Logged out', 'The session has ended.')
        },
      },
    },
  }
}

/** Grants the requested scopes without consent. As with Auth0, the Action runs before the response. */
async function createGrant(
  { oidc }: KoaContextWithOIDC,
  users: readonly DemoUser[],
  logins: Logins,
) {
  const { session, client, provider } = oidc
  const user = users.find(({ userId }) => userId === session?.accountId)
  if (!session || !client || !user || oidc.promptPending('login')) return undefined
  const grant = new provider.Grant({ clientId: client.clientId, accountId: user.userId })
  grant.addOIDCScope('openid offline_access')
  await grant.save()
  await logins.logIn(grant.jti, {
    user,
    application: applicationOf(client),
    sessionId: session.uid,
    loginTs: session.loginTs ?? 0,
    isSilent: oidc.result === undefined,
  })
  return grant
}

function applicationOf({ clientId, clientName = '' }: Client): DemoApplication {
  return { clientId, clientName }
}

function grantIdOf(token: object | undefined): string | undefined {
  return token && 'grantId' in token ? String(token.grantId) : undefined
}

function createKey(): NonNullable<Configuration['jwks']>['keys'][number] {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), kid: 'demo', use: 'sig', alg: 'RS256' } as never
}
