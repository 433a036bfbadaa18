import { randomUUID } from 'node:crypto'
import type { Build, Builds } from './builds.js'

/** The editable content of an Action, including the values of its secrets. */
interface Draft {
  name: string
  supported_triggers: { id: string; version?: string | undefined }[]
  code: string
  runtime: 'node18' | 'node22'
  secrets: { name: string; value: string }[]
  dependencies: { name: string; version: string; registry_url?: string | undefined }[]
}

/** A version of an Action: a copy of the draft that was deployed, with its own build. */
export interface Version extends Draft, Build {
  readonly id: string
  readonly number: number
  /** The revision of the draft at the time of the copy. */
  readonly revision: number
}

/** An Action with its draft and its versions. */
export interface SimulatedAction extends Draft {
  readonly id: string
  readonly createdMs: number
  updatedMs: number
  /** The revision of the draft. Every update increments it. */
  revision: number
  /** The build of the draft. */
  build: Build
  /** The versions, oldest first. */
  versions: Version[]
}

/** Adds a version, which is a copy of the draft with this build. */
export function addVersion(action: SimulatedAction, build: Build): Version {
  const number = action.versions.length + 1
  const version = { ...action, ...build, id: randomUUID(), number }
  action.versions.push(version)
  return version
}

/** Returns the deployed version, the newest version whose build has succeeded. */
export function deployedOf(
  { versions }: SimulatedAction,
  { statusOf }: Builds,
): Version | undefined {
  return versions.findLast((version) => statusOf(version) === 'built')
}

/**
 * Converts an Action to a response of the API. The response contains the names of the secrets, but not their values.
 */
export function toActionResponse(action: SimulatedAction, builds: Builds): object {
  const deployed = deployedOf(action, builds)
  return {
    ...toDraftFields(action, action.updatedMs),
    id: action.id,
    status: builds.statusOf(action.build),
    created_at: toDateTime(action.createdMs),
    updated_at: toDateTime(action.updatedMs),
    all_changes_deployed: deployed?.revision === action.revision,
    ...(deployed && { deployed_version: toVersionResponse(action, deployed, builds) }),
  }
}

/** Converts a version to a response of the API. */
export function toVersionResponse(
  action: SimulatedAction,
  version: Version,
  builds: Builds,
): object {
  return {
    ...toDraftFields(version, version.startedMs),
    id: version.id,
    action_id: action.id,
    number: version.number,
    status: builds.statusOf(version),
    deployed: version === deployedOf(action, builds),
    created_at: toDateTime(version.startedMs),
  }
}

function toDraftFields(draft: Draft, updatedMs: number): object {
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
