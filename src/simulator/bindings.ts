import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { parse } from './action-draft.js'
import type { Actions } from './actions.js'
import { ApiError } from './errors.js'

const BINDINGS = z.strictObject({
  bindings: z.array(
    z.strictObject({
      ref: z.strictObject({
        type: z.enum(['binding_id', 'action_id', 'action_name']),
        value: z.string().min(1),
      }),
      display_name: z.string().min(1).optional(),
    }),
  ),
})

type NewBinding = z.output<typeof BINDINGS>['bindings'][number]

interface Binding {
  readonly id: string
  readonly actionId: string
  readonly displayName: string
  readonly createdMs: number
}

/** The bindings of the trigger `post-login`: the Actions that the trigger runs, in execution order. */
export interface Bindings {
  /** The bindings as the API returns them. */
  list(): object[]
  /** Whether the Action with this id is bound. */
  isBound(actionId: string): boolean
  /** Removes the binding of the Action, if it has one. */
  unbind(actionId: string): void
  /** Replaces all bindings. Bindings that the body does not list are removed. */
  replace(body: unknown): object[]
}

/**
 * Creates an empty list of bindings.
 *
 * @see https://auth0.com/docs/api/management/v2/actions/patch-bindings
 */
export function createBindings(actions: Actions, now: () => number): Bindings {
  let bindings: Binding[] = []

  const list = () => bindings.map((binding) => toResponse(binding, actions))

  function toBinding({ ref, display_name }: NewBinding): Binding {
    const action = findAction(ref)
    if (!actions.isDeployed(action)) {
      const message = 'Trying to create a binding for an action that has not been deployed.'
      throw new ApiError(400, message)
    }
    const existing = bindings.find(({ actionId }) => actionId === action.id)
    return {
      id: existing?.id ?? randomUUID(),
      actionId: action.id,
      displayName: display_name ?? existing?.displayName ?? action.name,
      createdMs: existing?.createdMs ?? now(),
    }
  }

  function findAction({ type, value }: NewBinding['ref']) {
    const boundId = bindings.find((binding) => binding.id === value)?.actionId
    const action = actions
      .list()
      .find((each) =>
        type === 'action_name'
          ? each.name === value
          : each.id === (type === 'binding_id' ? boundId : value),
      )
    if (action?.supported_triggers[0]?.id !== 'post-login') {
      throw new ApiError(400, `There is no such action for this trigger: ${value}`)
    }
    return action
  }

  return {
    list,
    isBound: (actionId) => bindings.some((binding) => binding.actionId === actionId),
    unbind(actionId) {
      bindings = bindings.filter((binding) => binding.actionId !== actionId)
    },
    replace(body) {
      const newBindings = parse(BINDINGS, body).bindings.map(toBinding)
      if (new Set(newBindings.map(({ actionId }) => actionId)).size < newBindings.length) {
        throw new ApiError(400, 'An action can be bound to a trigger once.')
      }
      bindings = newBindings
      return list()
    },
  }
}

/** Converts a binding to the response of the API, which contains the Action. */
function toResponse({ id, actionId, displayName, createdMs }: Binding, actions: Actions): object {
  const at = new Date(createdMs).toISOString()
  return {
    id,
    trigger_id: 'post-login',
    display_name: displayName,
    action: actions.toResponse(actions.get(actionId)),
    created_at: at,
    updated_at: at,
  }
}
