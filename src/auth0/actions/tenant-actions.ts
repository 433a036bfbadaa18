import type { Management, ManagementClient } from 'auth0'
import { z } from 'zod'

import { LastLogoutError } from '../../errors.js'
import type { ManagementApi } from '../management-api.js'
import { createPause } from '../rate/budget.js'
import { type RetryLimits, retry } from '../retry.js'

/** The trigger that runs at every login and every exchange of a refresh token. */
export const TRIGGER = { id: 'post-login', version: 'v3' } as const

const PAGE_SIZE = 50

/** No tenant has as many Actions as fit on these pages. */
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
  actions: z.array(z.object({ id: z.string(), name: z.string() })),
  total: z.number().nullish(),
})
const BINDINGS_PAGE = z.object({ bindings: z.array(BINDING), total: z.number().nullish() })

/** An Action as the tenant has it. */
export type TenantAction = z.output<typeof ACTION>

/** An Action that the trigger runs. */
export type Binding = z.output<typeof BINDING>

/** What an Action shall be. */
export interface ActionDraft {
  name: string
  code: string
  runtime: string
  secrets: Record<string, string>
}

/** The tenant's Actions. Reading is tried again by itself; writing is one attempt: its answer may get lost. */
export interface TenantActions {
  /** The Action of this name, `null` if there is none. */
  find(name: string): Promise<TenantAction | null>
  get(id: string): Promise<TenantAction>
  create(draft: ActionDraft): Promise<TenantAction>
  /** Replaces what the draft names, all secrets included. */
  update(id: string, draft: ActionDraft): Promise<TenantAction>
  deploy(id: string): Promise<void>
  /** All bindings of the trigger, in the order in which they run. */
  listBindings(): Promise<Binding[]>
  /** Replaces all of them. */
  replaceBindings(bindings: Binding[]): Promise<void>
}

/** The tenant's Actions through Auth0's SDK. Waits where the tenant's rate limit asks for it. */
export function createTenantActions(
  api: ManagementApi,
  signal: AbortSignal,
  retryLimits?: RetryLimits,
): TenantActions {
  const pause = createPause()

  async function ask<T>(
    scope: string,
    request: (client: ManagementClient['actions']) => Promise<T>,
  ): Promise<T> {
    await pause.wait(signal)
    return api
      .call(scope, (client) => request(client.actions), signal)
      .catch((error) => {
        pause.refuse(error)
        throw error
      })
  }

  const askRead = <T>(request: (client: ManagementClient['actions']) => Promise<T>) =>
    retry(() => ask('read:actions', request), signal, retryLimits)

  async function get(id: string): Promise<TenantAction> {
    return read(ACTION, await askRead((actions) => actions.get(id)))
  }

  return {
    get,

    async find(name) {
      const found = await readPages(async (page) => {
        const query = { actionName: name, page, per_page: PAGE_SIZE }
        const { response } = await askRead((actions) => actions.list(query))
        const { actions, total } = read(ACTIONS_PAGE, response)
        return { items: actions, total }
      })
      const named = found.find((action) => action.name === name)
      return named === undefined ? null : get(named.id)
    },

    async create(draft) {
      const body = { name: draft.name, ...toBody(draft) }
      return read(ACTION, await ask('create:actions', (actions) => actions.create(body)))
    },

    async update(id, draft) {
      const body = toBody(draft)
      return read(ACTION, await ask('update:actions', (actions) => actions.update(id, body)))
    },

    async deploy(id) {
      await ask('create:actions', (actions) => actions.deploy(id))
    },

    listBindings: () =>
      readPages(async (page) => {
        const query = { page, per_page: PAGE_SIZE }
        const { response } = await askRead(({ triggers }) =>
          triggers.bindings.list(TRIGGER.id, query),
        )
        const { bindings, total } = read(BINDINGS_PAGE, response)
        return { items: bindings, total }
      }),

    async replaceBindings(bindings) {
      const body = { bindings: bindings.map(toRef) }
      await ask('update:actions', ({ triggers }) => triggers.bindings.updateMany(TRIGGER.id, body))
    },
  }
}

function toBody({ code, runtime, secrets }: ActionDraft) {
  return {
    supported_triggers: [TRIGGER],
    code,
    runtime,
    secrets: Object.entries(secrets).map(([name, value]) => ({ name, value })),
  }
}

/** By the Action's id, which is how a binding is kept as well as made. */
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
 * Until there is no more. A binding that is not read here is deleted by writing the others, so neither
 * a short page alone ends it (it may be shorter than asked for), nor the total alone.
 *
 * @throws `NO_PROGRESS` where the pages do not end.
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

/** Of what is not as it should be nothing is believed: the SDK gives a page of HTML as an answer too. */
function read<T>(schema: z.ZodType<T>, answer: unknown): T {
  const { data, error } = schema.safeParse(answer)
  if (error === undefined) return data
  const message = 'the answer is not what the Management API says of Actions'
  throw new LastLogoutError('AUTH0_UNAVAILABLE', message)
}
