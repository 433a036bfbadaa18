import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Actions } from './actions.js'
import type { Bindings } from './bindings.js'
import { ApiError, invalidQuery } from './errors.js'
import type { TokenIssuer } from './token-issuer.js'

const ACTIONS = '/api/v2/actions/actions'
const ACTION = `${ACTIONS}/:id`
const TRIGGERS = '/api/v2/actions/triggers'
const BINDINGS = `${TRIGGERS}/:trigger/bindings`

/** The only trigger that is simulated. */
const POST_LOGIN = {
  id: 'post-login',
  version: 'v3',
  status: 'CURRENT',
  runtimes: ['node18', 'node22'],
  default_runtime: 'node22',
  compatible_triggers: [],
}

interface ById {
  Params: { id: string }
}

interface ByTrigger {
  Params: { trigger: string }
}

/** The dependencies of the endpoints of Actions. */
export interface ActionsApi {
  tokenIssuer: TokenIssuer
  actions: Actions
  bindings: Bindings
}

/** Adds the endpoints of Actions. Each endpoint requires the same scope as in Auth0. */
export function addActionRoutes(
  app: FastifyInstance,
  { tokenIssuer, actions, bindings }: ActionsApi,
) {
  const assertScope = (request: FastifyRequest, scope: string) =>
    tokenIssuer.assertAuthorized(request.headers.authorization, scope)

  app.get(ACTIONS, (request, reply) => {
    assertScope(request, 'read:actions')
    const query = readQuery(request)
    const matches = (name: string, value: unknown) => (query.get(name) ?? `${value}`) === `${value}`
    const matchingActions = actions
      .list()
      .filter(
        (action) =>
          matches('actionName', action.name) &&
          matches('triggerId', action.supported_triggers[0]?.id) &&
          matches('deployed', actions.isDeployed(action)),
      )
    return reply.send(paginate('actions', matchingActions.map(actions.toResponse), query))
  })

  app.post(ACTIONS, (request, reply) => {
    assertScope(request, 'create:actions')
    return reply.code(201).send(actions.create(request.body))
  })

  app.get<ById>(ACTION, (request, reply) => {
    assertScope(request, 'read:actions')
    return reply.send(actions.toResponse(actions.get(request.params.id)))
  })

  app.patch<ById>(ACTION, (request, reply) => {
    assertScope(request, 'update:actions')
    return reply.send(actions.update(request.params.id, request.body))
  })

  app.post<ById>(`${ACTION}/deploy`, (request, reply) => {
    assertScope(request, 'create:actions')
    return reply.code(202).send(actions.deploy(request.params.id))
  })

  addDeletionRoute(app, { tokenIssuer, actions, bindings })
  app.get(TRIGGERS, (request, reply) => {
    assertScope(request, 'read:actions')
    return reply.send({ triggers: [POST_LOGIN] })
  })

  app.get<ByTrigger>(BINDINGS, (request, reply) => {
    assertScope(request, 'read:actions')
    assertPostLogin(request.params.trigger)
    return reply.send(paginate('bindings', bindings.list(), readQuery(request)))
  })

  app.patch<ByTrigger>(BINDINGS, (request, reply) => {
    assertScope(request, 'update:actions')
    assertPostLogin(request.params.trigger)
    return reply.send({ bindings: bindings.replace(request.body) })
  })
}

/**
 * Adds the endpoint that deletes an Action. A bound Action can be deleted only with `force`, which also removes the
 * binding.
 */
function addDeletionRoute(app: FastifyInstance, { tokenIssuer, actions, bindings }: ActionsApi) {
  app.delete<ById>(ACTION, (request, reply) => {
    tokenIssuer.assertAuthorized(request.headers.authorization, 'delete:actions')
    const { id } = actions.get(request.params.id)
    if (bindings.isBound(id) && readQuery(request).get('force') !== 'true') {
      throw new ApiError(409, 'The action is bound to a trigger.')
    }
    bindings.unbind(id)
    actions.remove(id)
    return reply.code(204).send()
  })
}

function assertPostLogin(trigger: string): void {
  if (trigger !== POST_LOGIN.id) throw new ApiError(404, `'${trigger}' is not simulated`)
}

function readQuery(request: FastifyRequest): URLSearchParams {
  return new URL(request.url, 'http://simulator').searchParams
}

/** Returns one page of a list. The default is the first page, with up to 20 items. */
function paginate(name: string, list: object[], query: URLSearchParams): object {
  const page = readNumber(query, 'page', 0, 0)
  const perPage = readNumber(query, 'per_page', 20, 1)
  const items = list.slice(page * perPage, (page + 1) * perPage)
  return { [name]: items, total: list.length, page, per_page: perPage }
}

function readNumber(
  query: URLSearchParams,
  name: 'page' | 'per_page',
  fallback: number,
  min: number,
): number {
  const text = query.get(name) ?? `${fallback}`
  const value = Number(text)
  const max = name === 'per_page' ? 100 : Infinity
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw invalidQuery(`'${text}' on property ${name}`)
}
