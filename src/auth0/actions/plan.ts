import { LastLogoutError } from '../../errors.js'
import { OPTIONAL_SECRETS } from '../../rules/action-settings.js'
import { isBound } from './bindings.js'
import { isLoginAction, removeDigestLine } from './code.js'
import { type ActionDraft, type Binding, type TenantAction, TRIGGER } from './tenant-actions.js'

/** One step of a deployment. `others` is the number of Actions that are already bound to the trigger. */
export type Step =
  | { kind: 'create'; secretNames: string[] }
  | { kind: 'update'; changes: string[]; removedSecrets: string[] }
  | { kind: 'deploy' }
  | { kind: 'bind'; others: number }

/** Throws `OTHER_ACTION` unless the Action is the login Action of last-logout. */
export function assertLoginAction(action: TenantAction | null): void {
  if (action === null) return
  if (action.supported_triggers[0]?.id === TRIGGER.id && isLoginAction(action.code ?? '')) return
  throw new LastLogoutError(
    'OTHER_ACTION',
    `The Action "${action.name}" exists and is not the login Action of last-logout. ` +
      'Rename it, or choose another name with --name.',
  )
}

/**
 * Throws `USAGE` if the deployment would lose a setting of the deployed Action. Auth0 replaces all secrets together and
 * never returns their values, so each setting must be given again.
 */
export function assertNoSettingLost(draft: ActionDraft, action: TenantAction | null): void {
  const deployedNames = new Set(secretNamesOf(action))
  const missing = OPTIONAL_SECRETS.filter(
    (name) => deployedNames.has(name) && !(name in draft.secrets),
  )
  if (missing.length === 0) return
  const flags = missing.map((name) => name.replace('LAST_LOGOUT_', '--').toLowerCase())
  throw new LastLogoutError(
    'USAGE',
    `The Action was deployed with ${flags.join(', ').replaceAll('_', '-')}, and Auth0 does not return the values. ` +
      'Pass each of these options again. To reset one, pass its default value.',
  )
}

/** Plans the steps that update the tenant's Action to the draft, deploy it and bind it. */
export function planDeployment(
  draft: ActionDraft,
  action: TenantAction | null,
  bindings: Binding[],
): Step[] {
  if (action === null) {
    const secretNames = Object.keys(draft.secrets)
    return [
      { kind: 'create', secretNames },
      { kind: 'deploy' },
      { kind: 'bind', others: bindings.length },
    ]
  }
  const changes = findChanges(draft, action)
  const removedSecrets = secretNamesOf(action).filter((name) => !(name in draft.secrets))
  const isDeployed = changes.length === 0 && action.all_changes_deployed === true
  return [
    ...(changes.length > 0 ? [{ kind: 'update', changes, removedSecrets } as const] : []),
    ...(isDeployed ? [] : [{ kind: 'deploy' } as const]),
    ...(isBound(bindings, action.id) ? [] : [{ kind: 'bind', others: bindings.length } as const]),
  ]
}

function findChanges(draft: ActionDraft, action: TenantAction): string[] {
  const code = action.code ?? ''
  const isSameFile = removeDigestLine(code) === removeDigestLine(draft.code)
  const names = Object.keys(draft.secrets).sort().join()
  const hasSameSecrets =
    secretNamesOf(action).sort().join() === names &&
    // The first line contains the digest of the secrets.
    code.split('\n')[0] === draft.code.split('\n')[0]
  return [
    ...(isSameFile ? [] : ['code']),
    ...(hasSameSecrets ? [] : ['secrets']),
    ...(action.runtime === draft.runtime ? [] : ['runtime']),
    ...(action.supported_triggers[0]?.version === TRIGGER.version ? [] : ['trigger version']),
    // After a failed build, Auth0 starts another build only if the Action is updated.
    ...(action.status === 'failed' ? ['new build after a failed one'] : []),
  ]
}

/** Returns the names of the Action's secrets. Auth0 does not return their values. */
export function secretNamesOf(action: TenantAction | null): string[] {
  return (action?.secrets ?? []).map((secret) => secret.name)
}
