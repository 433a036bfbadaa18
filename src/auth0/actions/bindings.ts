import type { Binding, TenantActions } from './tenant-actions.js'

/** Whether the Action with this id is bound. */
export function isBound(bindings: Binding[], id: string): boolean {
  return bindings.some((binding) => binding.action.id === id)
}

/**
 * Changes the bindings of the trigger. Auth0 can only replace the list as a whole, so the list is read just before the
 * write. A change by another user between read and write is lost. If `change` returns its argument, nothing is written.
 *
 * @returns The bindings that were written.
 */
export async function changeBindings(
  actions: TenantActions,
  change: (bindings: Binding[]) => Binding[],
): Promise<Binding[]> {
  const bindings = await actions.listBindings()
  const changed = change(bindings)
  if (changed !== bindings) await actions.replaceBindings(changed)
  return changed
}
