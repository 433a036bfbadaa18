import { LastLogoutError } from '../../errors.js'
import { OPTIONAL_SECRETS } from '../../rules/action-settings.js'
import { isLoginAction, unstampCode } from './code.js'
import { type ActionDraft, type Binding, type TenantAction, TRIGGER } from './tenant-actions.js'

/** One thing that has to be done, or would have to be. */
export type Step =
  | { kind: 'create'; secretNames: string[] }
  | { kind: 'update'; changes: string[]; removedSecrets: string[] }
  | { kind: 'deploy' }
  | { kind: 'bind'; others: number }

/** Throws `OTHER_ACTION` where the name is somebody else's. */
export function assertOurs(action: TenantAction | null): void {
  if (action === null) return
  if (action.supported_triggers[0]?.id === TRIGGER.id && isLoginAction(action.code ?? '')) return
  throw new LastLogoutError(
    'OTHER_ACTION',
    `there is an Action "${action.name}" that is not the login Action of last-logout: ` +
      'rename that one, or choose another name with --name',
  )
}

/**
 * Throws `USAGE` where a setting of the Action would be lost: secrets are replaced as a whole, and Auth0
 * gives no value back to be written again.
 */
export function assertNothingForgotten(draft: ActionDraft, action: TenantAction | null): void {
  const there = new Set(secretNamesOf(action))
  const forgotten = OPTIONAL_SECRETS.filter((name) => there.has(name) && !(name in draft.secrets))
  if (forgotten.length === 0) return
  const flags = forgotten.map((name) => name.replace('LAST_LOGOUT_', '--').toLowerCase())
  throw new LastLogoutError(
    'USAGE',
    `the Action was deployed with ${flags.join(', ').replaceAll('_', '-')}, and Auth0 does not say with what: ` +
      'say it again, or the default where that is meant now',
  )
}

/** What is missing between what is there and what shall be. */
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
  const isBound = bindings.some((binding) => binding.action.id === action.id)
  return [
    ...(changes.length > 0 ? [{ kind: 'update', changes, removedSecrets } as const] : []),
    ...(isDeployed ? [] : [{ kind: 'deploy' } as const]),
    ...(isBound ? [] : [{ kind: 'bind', others: bindings.length } as const]),
  ]
}

function findChanges(draft: ActionDraft, action: TenantAction): string[] {
  const code = action.code ?? ''
  const isSameFile = unstampCode(code) === unstampCode(draft.code)
  const names = Object.keys(draft.secrets).sort().join()
  const isSameSecrets =
    secretNamesOf(action).sort().join() === names &&
    // The stamp stands before the file, whichever version of it that is.
    code.split('\n')[0] === draft.code.split('\n')[0]
  return [
    ...(isSameFile ? [] : ['code']),
    ...(isSameSecrets ? [] : ['secrets']),
    ...(action.runtime === draft.runtime ? [] : ['runtime']),
    ...(action.supported_triggers[0]?.version === TRIGGER.version ? [] : ['trigger version']),
    // Only another writing is built again.
    ...(action.status === 'failed' ? ['build, which failed'] : []),
  ]
}

/** The names of its secrets; Auth0 gives no more of them. */
export function secretNamesOf(action: TenantAction | null): string[] {
  return (action?.secrets ?? []).map((secret) => secret.name)
}
