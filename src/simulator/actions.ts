import { randomUUID } from 'node:crypto'
import {
  addVersion,
  deployedOf,
  type SimulatedAction,
  toActionResponse,
  toVersionResponse,
} from './action.js'
import { NEW_ACTION, PATCH, parse } from './action-draft.js'
import { type BuildsOptions, createBuilds } from './builds.js'
import { ApiError } from './errors.js'

/** The Actions of a tenant. */
export interface Actions {
  create(body: unknown): object
  /** All Actions, in order of creation. */
  list(): readonly SimulatedAction[]
  get(id: string): SimulatedAction
  update(id: string, body: unknown): object
  /** Creates a version from the draft. The version is deployed when its build has succeeded. */
  deploy(id: string): object
  remove(id: string): void
  /** Whether the Action has a version whose build has succeeded. */
  isDeployed(action: SimulatedAction): boolean
  /**
   * Converts an Action to a response of the API. The response contains the names of the secrets, but not their values.
   */
  toResponse(action: SimulatedAction): object
  /** Returns the secrets of the Action with this name, with their values. The API never returns the values. */
  secretsOf(name: string): Record<string, string>
  /** Makes the build of the next draft fail. */
  failNextBuild(): void
}

/**
 * Creates the Actions of a tenant, with their drafts and versions.
 *
 * @see https://auth0.com/docs/api/management/v2/actions/post-action
 */
export function createActions({ now, buildMs }: BuildsOptions): Actions {
  const actions: SimulatedAction[] = []
  const builds = createBuilds({ now, buildMs })
  const toResponse = (action: SimulatedAction) => toActionResponse(action, builds)

  function get(id: string): SimulatedAction {
    const action = actions.find((each) => each.id === id)
    if (action === undefined) throw new ApiError(404, 'That action does not exist.')
    return action
  }

  function assertNameIsFree(name: string, id?: string): void {
    if (actions.some((action) => action.name === name && action.id !== id)) {
      throw new ApiError(409, 'An action with the same name already exists.')
    }
  }

  return {
    list: () => actions,
    get,
    toResponse,
    isDeployed: (action) => deployedOf(action, builds) !== undefined,
    failNextBuild: builds.failNext,
    remove: (id) => void actions.splice(actions.indexOf(get(id)), 1),

    create(body) {
      const { deploy, ...draft } = parse(NEW_ACTION, body)
      assertNameIsFree(draft.name)
      const state = { createdMs: now(), updatedMs: now(), revision: 1, versions: [] }
      const action = { ...draft, ...state, id: randomUUID(), build: builds.start() }
      actions.push(action)
      if (deploy) addVersion(action, action.build)
      return toResponse(action)
    },

    update(id, body) {
      const action = get(id)
      const changes = parse(PATCH, body)
      assertNameIsFree(changes.name ?? action.name, id)
      const revision = action.revision + 1
      Object.assign(action, changes, { updatedMs: now(), revision, build: builds.start() })
      return toResponse(action)
    },

    deploy(id) {
      const action = get(id)
      if (builds.statusOf(action.build) !== 'built') {
        throw new ApiError(400, "A draft must be in the 'built' state before it can be deployed.")
      }
      const version = addVersion(action, { startedMs: now(), fails: false })
      return toVersionResponse(action, version, builds)
    },

    secretsOf(name) {
      const secrets = actions.find((action) => action.name === name)?.secrets ?? []
      return Object.fromEntries(secrets.map((secret) => [secret.name, secret.value]))
    },
  }
}
