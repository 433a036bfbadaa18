import { hasCode, LastLogoutError } from '../../errors.js'
import type { ManagementApi } from '../management-api.js'
import { type RetryLimits, retry } from '../retry.js'
import { BUILD_PATIENCE_MS, waitUntil } from './await-build.js'
import { readActionFile, type Secrets, stampCode, unstampCode } from './code.js'
import {
  assertNothingForgotten,
  assertOurs,
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

/** How often a deployment may be refused of what seemed to be built. */
const MOST_REFUSALS = 5

/** Which Action of which tenant. */
export interface ActionOptions {
  api: ManagementApi
  name: string
  /** Default: `RETRY_LIMITS`. */
  retryLimits?: RetryLimits
}

/** What the tenant has of the login Action. */
export interface ActionStatus {
  exists: boolean
  /** Whether its code is that of this version of last-logout; that of its settings is not looked at. */
  current: boolean
  /** Whether its newest state is what runs. */
  deployed: boolean
  /** Its place in the order of the trigger, from 1; `null`: it is not bound, and never runs. */
  position: number | null
  /** How many Actions the trigger runs. */
  bindings: number
  secretNames: string[]
}

/** How the Action shall be deployed. */
export interface DeployOptions extends ActionOptions {
  secrets: Secrets
  /** Whether to look only. */
  dryRun: boolean
  /** Called before each step; of a dry run, with each that would be taken. */
  onStep(step: Step): void
  /** The interval between two reads of the state of a build, in milliseconds. Default: 1,000. */
  buildPollMs?: number
}

/** Reads what the tenant has of the login Action; changes nothing. */
export async function readActionStatus(
  { api, name, retryLimits }: ActionOptions,
  signal: AbortSignal,
): Promise<ActionStatus> {
  const actions = createTenantActions(api, signal, retryLimits)
  const action = await actions.find(name)
  const bindings = await actions.listBindings()
  const index = bindings.findIndex((binding) => binding.action.id === action?.id)
  return {
    exists: action !== null,
    current: unstampCode(action?.code ?? '') === (await readActionFile()),
    deployed: action?.all_changes_deployed === true,
    position: index === -1 ? null : index + 1,
    bindings: bindings.length,
    secretNames: secretNamesOf(action),
  }
}

/**
 * Creates or updates the login Action, deploys it and binds it after all others, as far as that is not
 * so already: interrupted, it is finished by the next run. Returns the steps that were taken. Throws
 * `OTHER_ACTION` where the name is somebody else's, `USAGE` where a setting would be lost, and
 * `ACTION_NOT_DEPLOYED`.
 */
export async function deployAction(options: DeployOptions, signal: AbortSignal): Promise<Step[]> {
  const { name, secrets, onStep, retryLimits, buildPollMs } = options
  const withRetries: Deployment['withRetries'] = (run) => retry(run, signal, retryLimits)
  const actions = createTenantActions(options.api, signal, retryLimits)
  const code = stampCode(await readActionFile(), secrets)
  const draft: ActionDraft = { name, code, runtime: RUNTIME, secrets }
  const action = await actions.find(name)
  assertOurs(action)
  assertNothingForgotten(draft, action)
  const steps = planDeployment(draft, action, await actions.listBindings())
  let id = action?.id ?? ''
  for (const step of steps) {
    onStep(step)
    if (options.dryRun) continue
    id = await take(step, { actions, draft, id, signal, withRetries, buildPollMs })
  }
  return steps
}

interface Deployment {
  actions: TenantActions
  draft: ActionDraft
  id: string
  signal: AbortSignal
  withRetries<T>(run: () => Promise<T>): Promise<T>
  buildPollMs: number | undefined
}

/** Returns the id of the Action. */
async function take(step: Step, deployment: Deployment): Promise<string> {
  const { actions, draft, id, withRetries } = deployment
  switch (step.kind) {
    case 'create':
      return (await withRetries(() => findOrCreate(actions, draft))).id
    case 'update':
      return (await withRetries(() => actions.update(id, draft))).id
    case 'deploy':
      await deploy(deployment)
      return id
    case 'bind':
      await bind(deployment)
      return id
    default:
      return step satisfies never
  }
}

/** An attempt whose answer was lost may have created it. */
async function findOrCreate(actions: TenantActions, draft: ActionDraft): Promise<TenantAction> {
  const action = await actions.find(draft.name)
  assertOurs(action)
  return action ?? actions.create(draft)
}

async function deploy(deployment: Deployment): Promise<void> {
  const { actions, id, signal, withRetries, buildPollMs } = deployment
  const wait = { deadline: performance.now() + BUILD_PATIENCE_MS, pollMs: buildPollMs }
  let refusals = 0
  const isBuilt = async () => {
    const { status } = await actions.get(id)
    if (status === 'failed') throw buildFailed()
    if (status !== 'built') return false
    return withRetries(() => actions.deploy(id)).then(
      () => true,
      // What was read may have been the state of the build before.
      (error) => {
        const isRefused = hasCode(error, 'AUTH0_REFUSED') && error.status === 400
        if (isRefused && ++refusals < MOST_REFUSALS) return false
        throw error
      },
    )
  }
  await waitUntil(isBuilt, wait, signal)
  // A version is deployed a while after it was asked for, and cannot be bound before.
  const isDeployed = async () => (await actions.get(id)).all_changes_deployed === true
  await waitUntil(isDeployed, wait, signal)
}

function buildFailed(): LastLogoutError {
  return new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    'Auth0 could not build the Action: see Dashboard > Actions > Library, then run this again',
  )
}

/**
 * The list can only be replaced as a whole: it is read right before. Whoever changes it between the two
 * cannot be noticed; whoever does so after, is.
 */
async function bind({ actions, draft, id, withRetries }: Deployment): Promise<void> {
  const written = await withRetries(async () => {
    const bindings = await actions.listBindings()
    if (bindings.some((binding) => binding.action.id === id)) return bindings
    const longer = [...bindings, { action: { id }, display_name: draft.name }]
    await actions.replaceBindings(longer)
    return longer
  })
  const bound = await actions.listBindings()
  if (idsOf(bound) === idsOf(written)) return
  throw new LastLogoutError(
    'ACTION_NOT_DEPLOYED',
    'the Actions of post-login are not those that were written: somebody else changes them now. ' +
      'Look at Dashboard > Actions > Triggers > post-login, then run this again',
  )
}

function idsOf(bindings: Binding[]): string {
  return bindings.map((binding) => binding.action.id).join()
}
