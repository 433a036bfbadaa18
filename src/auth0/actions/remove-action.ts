import { LastLogoutError } from '../../errors.js'
import { retry } from '../retry.js'
import type { LoginActionOptions } from './login-action.js'
import { assertLoginAction } from './plan.js'
import { createTenantActions } from './tenant-actions.js'

/** One step of a removal. `others`: the number of Actions that stay bound to the trigger. */
export type RemovalStep = { kind: 'unbind'; others: number } | { kind: 'delete' }

/** Options of {@link removeLoginAction}. */
export interface RemovalOptions extends LoginActionOptions {
  /** Whether to plan the steps without taking them. */
  dryRun: boolean
  /** Called before each step. In a dry run, called with each step that would be taken. */
  onStep(step: RemovalStep): void
}

/**
 * Unbinds the login Action, and deletes it. The other bindings stay, in their order. Skips steps that are not needed, so
 * that a second run completes an interrupted removal.
 *
 * @returns The steps that were taken; in a dry run, the steps that would be taken.
 * @throws `OTHER_ACTION` if another Action has the name, `ACTION_NOT_DEPLOYED` if something else changed the bindings at
 * the same time, and the errors of `ManagementApi.call`.
 */
export async function removeLoginAction(
  { api, name, retryLimits, dryRun, onStep }: RemovalOptions,
  signal: AbortSignal,
): Promise<RemovalStep[]> {
  const actions = createTenantActions(api, signal, retryLimits)
  const action = await actions.find(name)
  if (action === null) return []
  assertLoginAction(action)
  // Auth0 can only replace the list of bindings as a whole, so the list is read just before the write.
  const readOthers = async () => {
    const bindings = await actions.listBindings()
    const others = bindings.filter((binding) => binding.action.id !== action.id)
    return { others, isBound: others.length < bindings.length }
  }
  const { others, isBound } = await readOthers()
  const steps: RemovalStep[] = [
    ...(isBound ? [{ kind: 'unbind', others: others.length } as const] : []),
    { kind: 'delete' },
  ]
  for (const step of steps) {
    onStep(step)
    if (dryRun) continue
    if (step.kind === 'delete') {
      // An earlier attempt can have deleted the Action although the response was lost.
      const removeIfExists = async () => {
        if ((await actions.find(name)) !== null) await actions.remove(action.id)
      }
      await retry(removeIfExists, signal, retryLimits)
      continue
    }
    await retry(
      async () => {
        const current = await readOthers()
        if (current.isBound) await actions.replaceBindings(current.others)
      },
      signal,
      retryLimits,
    )
    if ((await readOthers()).isBound) throw boundAgainError(name)
  }
  return steps
}

function boundAgainError(name: string): LastLogoutError {
  return new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    `The Action ${name} is bound to post-login again: something else changed the bindings at the same time. ` +
      'Check Dashboard > Actions > Triggers > post-login, then run this command again.',
  )
}
