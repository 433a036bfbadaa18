import type { Binding, TenantActions } from './tenant-actions.js'

/** Whether the Action with this id is bound. */
export function isBound(bindings: Binding[], id: string): boolean {
  return bindings.some((binding) => binding.action.id === id)
}

/**
 * Changes the bindings, the list of Actions that the trigger runs. Auth0 can only replace the complete list, so the
 * list is read directly before the write. A change by another user between read and write is lost. If `change` returns
 * its argument, nothing is written.
 *
 * @returns The new bindings.
 */
export async function changeBindings(
  actions: TenantActions,
  change: (bindings: Binding[]) => Binding[],
): Promise<Binding[]> {
  const bindings = await actions.listBindings()
  const newBindings = change(bindings)
  if (newBindings !== bindings) await actions.replaceBindings(newBindings)
  return newBindings
}
