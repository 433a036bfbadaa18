import type {
  APIGatewayRequestAuthorizerEvent,
  APIGatewayRequestAuthorizerEventV2,
  APIGatewayTokenAuthorizerEvent,
  Handler,
} from 'aws-lambda'
import { beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { LastLogoutClient } from '../../src/client/index.js'
import { type AuthorizerResult, type LambdaOptions, lastLogout } from '../../src/client/lambda.js'
import { toRefusal } from '../../src/client/refusal.js'
import { openClient } from '../_support/client.js'
import { readExample } from '../_support/documents.js'
import { openFakeClient } from '../_support/fake-service.js'

/** The tokens of both users were issued a minute ago. In the fake service, only `auth0|out` has logged out since. */
const iat = Math.floor(Date.now() / 1000) - 60
const LOGGED_OUT = { sub: 'auth0|out', iat }
const LOGGED_IN = { sub: 'auth0|in', iat, scope: 'read:orders', permissions: ['read:orders'] }

// The events are the examples in the documentation of AWS:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
const ARN = 'arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/request'

const TOKEN_EVENT: APIGatewayTokenAuthorizerEvent = {
  type: 'TOKEN',
  authorizationToken: 'Bearer token',
  methodArn: ARN,
}

const REQUEST_EVENT = {
  type: 'REQUEST',
  methodArn: ARN,
  resource: '/request',
  path: '/request',
  httpMethod: 'GET',
  headers: { Accept: '*/*', Authorization: 'Bearer token', 'X-Forwarded-Proto': 'https' },
  queryStringParameters: { QueryString1: 'queryValue1' },
  pathParameters: {},
  stageVariables: { StageVar1: 'stageValue1' },
  requestContext: {
    path: '/request',
    accountId: '123456789012',
    resourceId: '05c7jb',
    stage: 'test',
    requestId: '...',
    identity: { apiKey: '...', sourceIp: '...' },
    resourcePath: '/request',
    httpMethod: 'GET',
    apiId: 'abcdef123',
  },
} as unknown as APIGatewayRequestAuthorizerEvent

/** An HTTP API sends payload format 1.0 for compatibility with REST APIs. */
const REQUEST_EVENT_1_0 = { ...REQUEST_EVENT, version: '1.0', identitySource: 'Bearer token' }

const REQUEST_EVENT_2_0 = {
  version: '2.0',
  type: 'REQUEST',
  routeArn: ARN,
  identitySource: ['Bearer token'],
  routeKey: '$default',
  rawPath: '/my/path',
  rawQueryString: 'parameter1=value1',
  cookies: ['cookie1', 'cookie2'],
  headers: { authorization: 'Bearer token' },
  queryStringParameters: { parameter1: 'value1' },
  requestContext: {
    accountId: '123456789012',
    apiId: 'api-id',
    domainName: 'id.execute-api.us-east-1.amazonaws.com',
    domainPrefix: 'id',
    http: { method: 'POST', path: '/my/path', protocol: 'HTTP/1.1', sourceIp: 'IP', userAgent: '' },
    requestId: 'id',
    routeKey: '$default',
    stage: '$default',
    time: '12/Mar/2020:19:03:58 +0000',
    timeEpoch: 1583348638390,
  },
  pathParameters: { parameter1: 'value1' },
  stageVariables: { stageVariable1: 'value1' },
} as unknown as APIGatewayRequestAuthorizerEventV2

let client: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
})

/** Runs an authorizer with verified claims. Returns the result as API Gateway receives it. */
async function authorize<Event extends Parameters<ReturnType<typeof lastLogout>>[0]>(
  event: Event,
  claims: object,
  { usedClient = client, options = {} as LambdaOptions } = {},
) {
  const check = lastLogout(usedClient, options)
  const handler = (async (receivedEvent) => check(receivedEvent, claims)) satisfies Handler<
    Event,
    AuthorizerResult<Event>
  >
  return JSON.parse(JSON.stringify(await handler(event)))
}

describe.each([
  ['TOKEN event of a REST API', TOKEN_EVENT],
  ['REQUEST event of a REST API', REQUEST_EVENT],
  ['REQUEST event of an HTTP API with payload format 1.0', REQUEST_EVENT_1_0],
])('for a %s', (_case, event) => {
  test('the authorizer returns an IAM policy for the stage if the token is accepted', async () => {
    expect(await authorize(event, LOGGED_IN)).toEqual({
      principalId: 'auth0|in',
      policyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Action: 'execute-api:Invoke',
            Effect: 'Allow',
            Resource: 'arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/*',
          },
        ],
      },
      context: { sub: 'auth0|in', scope: 'read:orders' },
    })
  })
})

test('for an HTTP API with payload format 2.0, the authorizer returns a simple response if the token is accepted', async () => {
  expect(await authorize(REQUEST_EVENT_2_0, LOGGED_IN)).toEqual({
    isAuthorized: true,
    context: { sub: 'auth0|in', scope: 'read:orders' },
  })
})

describe.each([
  ['a TOKEN event', TOKEN_EVENT],
  ['a REQUEST event', REQUEST_EVENT],
  ['an event in payload format 2.0', REQUEST_EVENT_2_0],
])('for %s', (_case, event) => {
  test('the authorizer rejects with Unauthorized for a revoked token, so that API Gateway responds with 401', async () => {
    await expect(authorize(event, LOGGED_OUT)).rejects.toMatchObject({
      message: 'Unauthorized',
      cause: { code: 'invalid_token', status: 401 },
    })
  })

  test('the authorizer rejects with LastLogoutUnknownError for an unknown revocation status', async () => {
    const usedClient = openClient('http://127.0.0.1:1', { lookup: 'request' })
    await expect(authorize(event, LOGGED_IN, { usedClient })).rejects.toMatchObject({
      name: 'LastLogoutUnknownError',
      code: 'temporarily_unavailable',
      message: 'the revocation status of the token is unavailable',
    })
  })

  test("with onUnknown: 'allow', the authorizer accepts an unknown revocation status", async () => {
    const usedClient = openClient('http://127.0.0.1:1', { lookup: 'request', onUnknown: 'allow' })
    expect(await authorize(event, LOGGED_IN, { usedClient })).toMatchObject({
      context: { sub: 'auth0|in' },
    })
  })

  test('the authorizer rejects if it receives no verified claims, so that no request bypasses the check (pitfall 21)', async () => {
    await expect(authorize(event, undefined as never)).rejects.toThrow(/no verified claims/)
  })
})

test('the context of the result is the return value of getContext', async () => {
  const options: LambdaOptions = {
    getContext: ({ permissions }) => ({ permissions: String(permissions) }),
  }
  const expected = { context: { permissions: 'read:orders' } }
  expect(await authorize(TOKEN_EVENT, LOGGED_IN, { options })).toMatchObject(expected)
  expect(await authorize(REQUEST_EVENT_2_0, LOGGED_IN, { options })).toMatchObject(expected)
})

test('the gateway responses in docs/resource-servers.md have the status and the headers of toRefusal', async () => {
  const yaml = await readExample('docs/resource-servers.md', 'Lambda authorizer', 'yaml')
  const revoked = toRefusal({ allowed: false, outcome: 'revoked' })
  const unknown = toRefusal({ allowed: false, outcome: 'unknown' })
  // API Gateway encloses a constant in single quotes.
  const constants = (headers = {}) =>
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, `'${value}'`]))
  const unavailable = {
    StatusCode: unknown?.status,
    ResponseParameters: { Headers: constants(unknown?.headers) },
  }
  const { UNAUTHORIZED, ...others } = parse(yaml)
  expect(others).toEqual({
    AUTHORIZER_FAILURE: unavailable,
    AUTHORIZER_CONFIGURATION_ERROR: unavailable,
  })
  // The status of UNAUTHORIZED is 401 by default. Its constant cannot describe each refusal.
  const { 'WWW-Authenticate': challenge = '' } = revoked?.headers ?? {}
  const [withoutDescription] = challenge.split(', error_description')
  expect(UNAUTHORIZED).toEqual({
    ResponseParameters: { Headers: constants({ 'WWW-Authenticate': withoutDescription }) },
  })
})
