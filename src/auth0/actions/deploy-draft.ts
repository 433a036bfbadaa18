import { hasCode, LastLogoutError } from '../../errors.js'
import { BUILD_TIMEOUT_MS, waitUntil } from './await-build.js'
import type { ActionDraft, TenantActions } from './tenant-actions.js'

/** Number of refusals to deploy an Action whose status is `built` after which the deployment fails. */
const MAX_DEPLOY_REFUSALS = 5

/** Number of responses with other code than that of the draft after which the deployment fails. */
const MAX_DIFFERENCES = 5

/** A deployment of the login Action. */
export interface Deployment {
  actions: TenantActions
  draft: ActionDraft
  id: string
  signal: AbortSignal
  withRetries<T>(run: () => Promise<T>): Promise<T>
  buildPollIntervalMs: number | undefined
}

/**
 * Deploys the draft when Auth0 has built it, and waits until it is deployed.
 *
 * @throws `ACTION_NOT_DEPLOYED` if the build fails, if it takes too long, or if other code was deployed.
 */
export async function deployDraft(deployment: Deployment): Promise<void> {
  const { actions, draft, id, signal, withRetries, buildPollIntervalMs } = deployment
  const wait = {
    deadline: performance.now() + BUILD_TIMEOUT_MS,
    pollIntervalMs: buildPollIntervalMs,
  }
  let refusals = 0
  const deployIfBuilt = async () => {
    const { status } = await actions.get(id)
    if (status === 'failed') throw buildFailedError()
    if (status !== 'built') return false
    return withRetries(() => actions.deploy(id)).then(
      () => true,
      // The status may be that of the previous build. In this case, Auth0 refuses to deploy.
      (error) => {
        const isRefused = hasCode(error, 'AUTH0_REFUSED') && error.status === 400
        if (isRefused && ++refusals < MAX_DEPLOY_REFUSALS) return false
        throw error
      },
    )
  }
  await waitUntil(deployIfBuilt, wait, signal)
  let differences = 0
  // Auth0 deploys the Action asynchronously. The Action cannot be bound before it is deployed.
  const isDeployed = async () => {
    const { all_changes_deployed, code } = await actions.get(id)
    if (all_changes_deployed !== true) return false
    if (trimLines(code ?? '') === trimLines(draft.code)) return true
    // The response may be older than the draft.
    if (++differences < MAX_DIFFERENCES) return false
    throw changedError(draft.name)
  }
  await waitUntil(isDeployed, wait, signal)
}

/** Removes white space at the ends of the lines. It is not documented that Auth0 stores it as it was sent. */
function trimLines(code: string): string {
  return code.replace(/\s+$/gm, '')
}

function buildFailedError(): LastLogoutError {
  return new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    'Auth0 could not build the Action. See Dashboard > Actions > Library, then run this command again.',
  )
}

function changedError(name: string): LastLogoutError {
  return new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    `The deployed code of the Action ${name} differs from the code that this command wrote: something else changed it at the same time. ` +
      'Check Dashboard > Actions > Library, then run this command again.',
  )
}
