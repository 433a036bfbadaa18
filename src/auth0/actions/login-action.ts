import { LastLogoutError } from '../../errors.js'
import type { ManagementApi } from '../management-api.js'
import { type RetryLimits, retry } from '../retry.js'
import { changeBindings, isBound } from './bindings.js'
import { addDigestLine, readActionFile, removeDigestLine, type Secrets } from './code.js'
import { type Deployment, deployDraft } from './deploy-draft.js'
import {
  assertLoginAction,
  assertNoSettingLost,
  planDeployment,
  type Step,
  secretNamesOf,
} from './plan.js'
import {
  type ActionDraft,
  type Binding,
  createTenantActions,
  type TenantAction,
  type TenantActions,
} from './tenant-actions.js'

const RUNTIME = 'node22'

/** Access to the tenant, and the name of the login Action. */
export interface LoginActionOptions {
  api: ManagementApi
  name: string
  /** Default: `RETRY_LIMITS`. */
  retryLimits?: RetryLimits
}

/** The state of the login Action in the tenant. */
export interface ActionStatus {
  exists: boolean
  /** Whether the Action has the code of this version of last-logout. Its settings can differ. */
  current: boolean
  /** Whether the latest version of the Action is deployed. */
  deployed: boolean
  /** Position among the bindings of the trigger, from 1; `null`: the Action is not bound, and never runs. */
  position: number | null
  /** Number of Actions bound to the trigger. */
  bindings: number
  secretNames: string[]
}

/** Options of {@link deployLoginAction}. */
export interface DeployOptions extends LoginActionOptions {
  secrets: Secrets
  /** Whether to plan the steps without taking them. */
  dryRun: boolean
  /** Called before each step, also in a dry run. */
  onStep(step: Step): void
  /** Interval between two reads of the state of a build, in milliseconds. Default: 1,000. */
  buildPollIntervalMs?: number
}

/** Reads the state of the login Action. Changes nothing. */
export async function readActionStatus(
  { api, name, retryLimits }: LoginActionOptions,
  signal: AbortSignal,
): Promise<ActionStatus> {
  const actions = createTenantActions(api, signal, retryLimits)
  const action = await actions.find(name)
  const bindings = await actions.listBindings()
  const index = bindings.findIndex((binding) => binding.action.id === action?.id)
  return {
    exists: action !== null,
    current: removeDigestLine(action?.code ?? '') === (await readActionFile()),
    deployed: action?.all_changes_deployed === true,
    position: index === -1 ? null : index + 1,
    bindings: bindings.length,
    secretNames: secretNamesOf(action),
  }
}

/**
 * Creates or updates the login Action, deploys it, and binds it after all other Actions. Skips steps that are not
 * needed, so a second run completes an interrupted deployment.
 *
 * @returns The steps that were taken. In a dry run, the steps that would be taken.
 * @throws `OTHER_ACTION` if the Action with this name is not the login Action; `USAGE` if a setting would be lost;
 *   `ACTION_NOT_DEPLOYED`; the errors of {@link ManagementApi.call}.
 */
export async function deployLoginAction(
  options: DeployOptions,
  signal: AbortSignal,
): Promise<Step[]> {
  const { name, secrets, onStep, retryLimits, buildPollIntervalMs } = options
  const withRetries: Deployment['withRetries'] = (run) => retry(run, signal, retryLimits)
  const actions = createTenantActions(options.api, signal, retryLimits)
  const code = addDigestLine(await readActionFile(), secrets)
  const draft: ActionDraft = { name, code, runtime: RUNTIME, secrets }
  const action = await actions.find(name)
  assertLoginAction(action)
  assertNoSettingLost(draft, action)
  const steps = planDeployment(draft, action, await actions.listBindings())
  let id = action?.id ?? ''
  for (const step of steps) {
    onStep(step)
    if (options.dryRun) continue
    id = await takeStep(step, { actions, draft, id, signal, withRetries, buildPollIntervalMs })
  }
  return steps
}

/** Takes one step. Returns the id of the Action. */
async function takeStep(step: Step, deployment: Deployment): Promise<string> {
  const { actions, draft, id, withRetries } = deployment
  switch (step.kind) {
    case 'create':
      return (await withRetries(() => findOrCreate(actions, draft))).id
    case 'update':
      return (await withRetries(() => actions.update(id, draft))).id
    case 'deploy':
      await deployDraft(deployment)
      return id
    case 'bind':
      await bind(deployment)
      return id
    default:
      return step satisfies never
  }
}

/** Creates the Action, unless it exists. It can exist because the response to an earlier attempt was lost. */
async function findOrCreate(actions: TenantActions, draft: ActionDraft): Promise<TenantAction> {
  const action = await actions.find(draft.name)
  assertLoginAction(action)
  return action ?? actions.create(draft)
}

/** Binds the Action after all others. Throws `ACTION_NOT_DEPLOYED` if the bindings were changed at the same time. */
async function bind({ actions, draft, id, withRetries }: Deployment): Promise<void> {
  const writtenBindings = await withRetries(() =>
    changeBindings(actions, (bindings) =>
      isBound(bindings, id)
        ? bindings
        : [...bindings, { action: { id }, display_name: draft.name }],
    ),
  )
  const currentBindings = await actions.listBindings()
  if (idsOf(currentBindings) === idsOf(writtenBindings)) return
  throw new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    'The Actions bound to post-login differ from those that this command bound: something else changed them at the same time. ' +
      'Check Dashboard > Actions > Triggers > post-login, then run this command again.',
  )
}

function idsOf(bindings: Binding[]): string {
  return bindings.map((binding) => binding.action.id).join()
}
