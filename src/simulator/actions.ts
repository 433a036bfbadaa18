import { randomUUID } from 'node:crypto'
import { DRAFT, type Draft, PATCH, parse } from './action-draft.js'
import { ApiError } from './errors.js'

/** State of a build. */
type BuildStatus = 'pending' | 'building' | 'built' | 'failed'

/** The build of a draft or of a version. */
interface Build {
  readonly startedMs: number
  readonly fails: boolean
}

interface Version extends Draft, Build {
  readonly id: string
  readonly number: number
  /** The revision of the draft that was deployed. */
  readonly revision: number
}

interface Action extends Draft {
  readonly id: string
  readonly createdMs: number
  updatedMs: number
  /** Incremented by every change. */
  revision: number
  build: Build
  versions: Version[]
}

/** Options of {@link createActions}. */
export interface SimulatedActionsOptions {
  now(): number
  /** Duration of the build of a draft, and of a version, by the tenant's clock. */
  buildMs: number
}

/** The Actions of a tenant. */
export interface Actions {
  create(body: unknown): object
  /** All Actions, in order of creation. */
  list(): readonly Action[]
  get(id: string): Action
  update(id: string, body: unknown): object
  /** Creates a version of the draft, which is deployed as soon as it is built. */
  deploy(id: string): object
  /** Whether a version of the Action has been built. */
  isDeployed(action: Action): boolean
  /** The Action as the API returns it: secrets by name only. */
  serve(action: Action): object
  /** The values of the secrets, which the API never returns. */
  secretsOf(name: string): Record<string, string>
  /** Makes the build of the next draft fail. */
  failNextBuild(): void
}

/**
 * Creates the Actions of a tenant, with their drafts and versions.
 *
 * @see https://auth0.com/docs/api/management/v2/actions/post-action
 */
export function createActions({ now, buildMs }: SimulatedActionsOptions): Actions {
  const actions: Action[] = []
  let failNext = false

  function startBuild(): Build {
    const fails = failNext
    failNext = false
    return { startedMs: now(), fails }
  }

  function statusOf({ startedMs, fails }: Build): BuildStatus {
    const passedMs = now() - startedMs
    if (passedMs < buildMs) return passedMs < buildMs / 2 ? 'pending' : 'building'
    return fails ? 'failed' : 'built'
  }

  const deployedOf = ({ versions }: Action) =>
    versions.findLast((version) => statusOf(version) === 'built')

  function get(id: string): Action {
    const found = actions.find((action) => action.id === id)
    if (found === undefined) throw new ApiError(404, 'That action does not exist.')
    return found
  }

  function assertNameIsFree(name: string, id?: string): void {
    if (actions.some((action) => action.name === name && action.id !== id)) {
      throw new ApiError(409, 'An action with the same name already exists.')
    }
  }

  function serve(action: Action): object {
    const deployed = deployedOf(action)
    return {
      ...serveDraft(action, action.updatedMs),
      id: action.id,
      status: statusOf(action.build),
      created_at: toDateTime(action.createdMs),
      updated_at: toDateTime(action.updatedMs),
      all_changes_deployed: deployed?.revision === action.revision,
      ...(deployed && { deployed_version: serveVersion(action, deployed) }),
    }
  }

  function serveVersion(action: Action, version: Version): object {
    return {
      ...serveDraft(version, version.startedMs),
      id: version.id,
      action_id: action.id,
      number: version.number,
      status: statusOf(version),
      deployed: version === deployedOf(action),
      created_at: toDateTime(version.startedMs),
    }
  }

  return {
    list: () => actions,
    get,
    serve,
    isDeployed: (action) => deployedOf(action) !== undefined,

    create(body) {
      const draft = parse(DRAFT, body)
      assertNameIsFree(draft.name)
      const action = {
        ...draft,
        id: randomUUID(),
        createdMs: now(),
        updatedMs: now(),
        revision: 1,
        build: startBuild(),
        versions: [],
      }
      actions.push(action)
      return serve(action)
    },

    update(id, body) {
      const action = get(id)
      const changes = parse(PATCH, body)
      assertNameIsFree(changes.name ?? action.name, id)
      const revision = action.revision + 1
      Object.assign(action, changes, { updatedMs: now(), revision, build: startBuild() })
      return serve(action)
    },

    deploy(id) {
      const action = get(id)
      if (statusOf(action.build) !== 'built') {
        throw new ApiError(400, "A draft must be in the 'built' state before it can be deployed.")
      }
      const number = action.versions.length + 1
      const version = { ...action, id: randomUUID(), number, startedMs: now(), fails: false }
      action.versions.push(version)
      return serveVersion(action, version)
    },

    secretsOf(name) {
      const secrets = actions.find((action) => action.name === name)?.secrets ?? []
      return Object.fromEntries(secrets.map((secret) => [secret.name, secret.value]))
    },

    failNextBuild() {
      failNext = true
    },
  }
}

function serveDraft(draft: Draft, updatedMs: number): object {
  const { name, supported_triggers, code, runtime, dependencies, secrets } = draft
  const updated_at = toDateTime(updatedMs)
  return {
    name,
    supported_triggers,
    code,
    runtime,
    dependencies,
    secrets: secrets.map((secret) => ({ name: secret.name, updated_at })),
  }
}

function toDateTime(ms: number): string {
  return new Date(ms).toISOString()
}
