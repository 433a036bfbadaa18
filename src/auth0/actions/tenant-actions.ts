import type { Management } from 'auth0'
import { z } from 'zod'

import { LastLogoutError } from '../../errors.js'
import type { ManagementApi } from '../management-api.js'
import { CHECK_NETWORK_ADVICE } from '../management-errors.js'
import type { RetryLimits } from '../retry.js'
import { type ActionRequests, createActionRequests } from './requests.js'

/** The trigger that Auth0 runs at every login and every exchange of a refresh token. */
export const TRIGGER = { id: 'post-login', version: 'v3' } as const

const PAGE_SIZE = 50

/** Maximum number of pages of a list. No tenant has that many Actions. */
const MAX_PAGES = 20

const ACTION = z.object({
  id: z.string().min(1),
  name: z.string(),
  supported_triggers: z.array(z.object({ id: z.string(), version: z.string().nullish() })),
  code: z.string().nullish(),
  runtime: z.string().nullish(),
  status: z.string().nullish(),
  secrets: z.array(z.object({ name: z.string() })).nullish(),
  all_changes_deployed: z.boolean().nullish(),
})
const BINDING = z.object({
  display_name: z.string().nullish(),
  action: z.object({ id: z.string().min(1) }),
})
const ACTIONS_PAGE = z.object({
  actions: z.array(z.object({ id: z.string(), name: z.string(), code: z.string().nullish() })),
  total: z.number().nullish(),
})
const BINDINGS_PAGE = z.object({ bindings: z.array(BINDING), total: z.number().nullish() })

/** An Action of the tenant. */
export type TenantAction = z.output<typeof ACTION>

/** An item of the list of Actions. */
type ListedAction = z.output<typeof ACTIONS_PAGE>['actions'][number]

/** A binding: an entry of the list of Actions that the trigger runs. */
export type Binding = z.output<typeof BINDING>

/** The desired state of an Action. */
export interface ActionDraft {
  name: string
  code: string
  runtime: string
  secrets: Record<string, string>
}

/**
 * The Actions of the tenant. Reads are retried. Writes are not retried, because a write without a response can have
 * succeeded.
 */
export interface TenantActions {
  /** Lists the Actions with this name or this trigger. */
  list(filter: { actionName: string } | { triggerId: typeof TRIGGER.id }): Promise<ListedAction[]>
  /** Finds the Action with this name. Returns `null` if there is none. */
  find(name: string): Promise<TenantAction | null>
  get(id: string): Promise<TenantAction>
  create(draft: ActionDraft): Promise<TenantAction>
  /** Replaces the code, the runtime and all secrets. */
  update(id: string, draft: ActionDraft): Promise<TenantAction>
  deploy(id: string): Promise<void>
  /** Deletes an Action that is not bound. */
  remove(id: string): Promise<void>
  /** All bindings of the trigger, in execution order. */
  listBindings(): Promise<Binding[]>
  /** Replaces all bindings of the trigger. */
  replaceBindings(bindings: Binding[]): Promise<void>
}

/** Creates access to the Actions with Auth0's SDK. After a 429, all requests wait as long as the response requires. */
export function createTenantActions(
  api: ManagementApi,
  signal: AbortSignal,
  retryLimits?: RetryLimits,
): TenantActions {
  const { read, write } = createActionRequests(api, signal, retryLimits)

  async function get(id: string): Promise<TenantAction> {
    return parse(ACTION, await read((actions) => actions.get(id)))
  }

  const list = createList(read)

  return {
    get,
    list,

    async find(name) {
      const match = (await list({ actionName: name })).find((action) => action.name === name)
      return match === undefined ? null : get(match.id)
    },

    async create(draft) {
      const body = { name: draft.name, ...toBody(draft) }
      return parse(ACTION, await write('create:actions', (actions) => actions.create(body)))
    },

    async update(id, draft) {
      const body = toBody(draft)
      return parse(ACTION, await write('update:actions', (actions) => actions.update(id, body)))
    },

    async deploy(id) {
      await write('create:actions', (actions) => actions.deploy(id))
    },

    async remove(id) {
      await write('delete:actions', (actions) => actions.delete(id))
    },

    listBindings: () =>
      readPages(async (page) => {
        const query = { page, per_page: PAGE_SIZE }
        const { response } = await read(({ triggers }) => triggers.bindings.list(TRIGGER.id, query))
        const { bindings, total } = parse(BINDINGS_PAGE, response)
        return { items: bindings, total }
      }),

    async replaceBindings(bindings) {
      const body = { bindings: bindings.map(toRef) }
      await write('update:actions', ({ triggers }) =>
        triggers.bindings.updateMany(TRIGGER.id, body),
      )
    },
  }
}

function createList(read: ActionRequests['read']): TenantActions['list'] {
  return (filter) =>
    readPages(async (page) => {
      const query = { ...filter, page, per_page: PAGE_SIZE }
      const { response } = await read((actions) => actions.list(query))
      const { actions, total } = parse(ACTIONS_PAGE, response)
      return { items: actions, total }
    })
}

function toBody({ code, runtime, secrets }: ActionDraft) {
  return {
    supported_triggers: [TRIGGER],
    code,
    runtime,
    secrets: Object.entries(secrets).map(([name, value]) => ({ name, value })),
  }
}

/** Converts a binding to the form that Auth0 accepts: a reference to the Action by id. */
function toRef({ action, display_name }: Binding): Management.ActionBindingWithRef {
  return {
    ref: { type: 'action_id', value: action.id },
    ...(display_name && { display_name }),
  }
}

interface Page<T> {
  items: T[]
  total: number | null | undefined
}

/**
 * Reads all pages of a list. The list ends at an empty page, or at a short page after `total` items. A short page alone
 * is not the end, because Auth0 can return fewer items than requested. After `total` items, the reading also continues
 * until a short page, because `total` could be too small. A binding that was not read would be deleted by the next
 * write of the list.
 *
 * @throws `NO_PROGRESS` if the pages do not end.
 */
async function readPages<T>(readPage: (page: number) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = []
  for (let page = 0; page < MAX_PAGES; page++) {
    const { items, total } = await readPage(page)
    all.push(...items)
    const isShort = items.length < PAGE_SIZE
    if (items.length === 0 || (isShort && all.length >= (total ?? Infinity))) return all
  }
  throw new LastLogoutError(
    'NO_PROGRESS',
    `Reading the Actions of the tenant stopped after ${MAX_PAGES} pages. ` +
      'The pages do not end: Auth0, or a proxy before it, ignores the page number. ' +
      'Check the network between this program and AUTH0_DOMAIN, and try again.',
  )
}

/** Validates a response. The SDK also returns responses of other servers, such as the HTML of a proxy. */
function parse<T>(schema: z.ZodType<T>, response: unknown): T {
  const { data, error } = schema.safeParse(response)
  if (error === undefined) return data
  const message = `The response is not what the Management API documents for Actions. ${CHECK_NETWORK_ADVICE}`
  throw new LastLogoutError('AUTH0_UNAVAILABLE', message)
}
