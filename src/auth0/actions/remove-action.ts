import { LastLogoutError } from '../../errors.js'
import { retry } from '../retry.js'
import { changeBindings, isBound } from './bindings.js'
import { isLoginAction } from './code.js'
import type { LoginActionOptions } from './login-action.js'
import { assertLoginAction } from './plan.js'
import {
  type Binding,
  createTenantActions,
  type TenantAction,
  type TenantActions,
  TRIGGER,
} from './tenant-actions.js'

/** One step of a removal. `others` is the number of Actions that stay bound to the trigger. */
export type RemovalStep = { kind: 'unbind'; others: number } | { kind: 'delete' }

/** Options of {@link removeLoginAction}. */
export interface RemovalOptions extends LoginActionOptions {
  /** Whether to plan the steps without taking them. */
  dryRun: boolean
  /** Called before each step, also in a dry run. */
  onStep(step: RemovalStep): void
}

/**
 * Unbinds the login Action and deletes it. The other bindings keep their order. Skips steps that are not needed, so a
 * second run completes an interrupted removal.
 *
 * @returns The steps that were taken. In a dry run, the steps that would be taken.
 * @throws `OTHER_ACTION` if the Action with this name is not the login Action; `ACTION_NOT_DEPLOYED` if the bindings
 *   were changed at the same time; the errors of `ManagementApi.call`.
 */
export async function removeLoginAction(
  { api, name, retryLimits, dryRun, onStep }: RemovalOptions,
  signal: AbortSignal,
): Promise<RemovalStep[]> {
  const withRetries: WithRetries = (run) => retry(run, signal, retryLimits)
  const actions = createTenantActions(api, signal, retryLimits)
  const action = await actions.find(name)
  if (action === null) return []
  assertLoginAction(action)
  const { id } = action
  const bindings = await actions.listBindings()
  const steps: RemovalStep[] = [
    ...(isBound(bindings, id)
      ? [{ kind: 'unbind', others: withoutAction(bindings, id).length } as const]
      : []),
    { kind: 'delete' },
  ]
  for (const step of steps) {
    onStep(step)
    if (dryRun) continue
    if (step.kind === 'unbind') await unbind(actions, action, withRetries)
    else await withRetries(() => removeIfExists(actions, action))
  }
  return steps
}

/** Lists the names of the login Actions that were deployed under another name than `name`. Changes nothing. */
export async function listOtherLoginActions(
  { api, name, retryLimits }: LoginActionOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const actions = createTenantActions(api, signal, retryLimits)
  const listed = await actions.list({ triggerId: TRIGGER.id })
  return listed
    .filter((action) => action.name !== name && isLoginAction(action.code ?? ''))
    .map((action) => action.name)
}

type WithRetries = <T>(run: () => Promise<T>) => Promise<T>

async function unbind(
  actions: TenantActions,
  { id, name }: TenantAction,
  withRetries: WithRetries,
): Promise<void> {
  await withRetries(() =>
    changeBindings(actions, (bindings) =>
      isBound(bindings, id) ? withoutAction(bindings, id) : bindings,
    ),
  )
  if (isBound(await actions.listBindings(), id)) throw boundAgainError(name)
}

function withoutAction(bindings: Binding[], id: string): Binding[] {
  return bindings.filter((binding) => binding.action.id !== id)
}

/**
 * Deletes the Action, unless it is already deleted. It can be deleted although the response to an earlier attempt was
 * lost.
 */
async function removeIfExists(actions: TenantActions, { id, name }: TenantAction): Promise<void> {
  if ((await actions.find(name)) !== null) await actions.remove(id)
}

function boundAgainError(name: string): LastLogoutError {
  return new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    `The Action ${name} is bound to post-login again: something else changed the bindings at the same time. ` +
      'Check Dashboard > Actions > Triggers > post-login, then run this command again.',
  )
}
