/**
 * Emulates the part of API Gateway that calls an authorizer, to try the example without AWS. It is no API Gateway: it
 * caches nothing, as with `authorizerResultTtlInSeconds: 0`, and knows one route.
 *
 * The events and the results are those of AWS's documentation:
 * - REST API: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
 *   and https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
 * - HTTP API: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
 * - 401 for the error `Unauthorized`, 500 for any other, 403 for a result that does not allow the request:
 *   https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
 */
import { createServer } from 'node:http'
import { handler } from './authorizer.mjs'

const ARN = 'arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/orders'

/** The event of each kind of authorizer for a request. */
const EVENTS = {
  '/orders': ({ authorization }) => ({
    type: 'TOKEN',
    authorizationToken: authorization,
    methodArn: ARN,
  }),
  '/rest-request/orders': ({ authorization }) => ({
    type: 'REQUEST',
    methodArn: ARN,
    resource: '/orders',
    path: '/orders',
    httpMethod: 'GET',
    headers: { Authorization: authorization },
  }),
  '/http-api/orders': ({ authorization }) => ({
    version: '2.0',
    type: 'REQUEST',
    routeArn: ARN,
    identitySource: [authorization],
    routeKey: 'GET /orders',
    rawPath: '/orders',
    headers: { authorization },
  }),
}

const server = createServer(async (request, response) => {
  const createEvent = EVENTS[request.url]
  const [status, body] = createEvent ? await respond(createEvent(request.headers)) : [404, {}]
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
})

async function respond(event) {
  // Without the identity source, API Gateway does not call the authorizer.
  if (!(event.authorizationToken ?? event.headers?.authorization ?? event.headers?.Authorization))
    return [401, { message: 'Unauthorized' }]
  try {
    // API Gateway gets the result as JSON.
    const result = JSON.parse(JSON.stringify(await handler(event)))
    if (!isAllowed(result)) return [403, { message: 'Forbidden' }]
    return [200, { user: result.context.sub }]
  } catch (error) {
    if (error.message === 'Unauthorized') return [401, { message: 'Unauthorized' }]
    // The name of the error is in the log of the function.
    console.error(`${error.name}: ${error.message}`)
    return [500, { message: null }]
  }
}

function isAllowed({ isAuthorized, policyDocument }) {
  if (policyDocument === undefined) return isAuthorized === true
  return policyDocument.Statement.some(
    ({ Action, Effect, Resource }) =>
      Action === 'execute-api:Invoke' && Effect === 'Allow' && matches(Resource, ARN),
  )
}

/** An IAM policy matches any characters with `*`. */
function matches(resource, arn) {
  const parts = resource.split('*').map((part) => part.replace(/[^\w]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(arn)
}

server.listen(process.env.PORT, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
