import { z } from 'zod'
import { readUrl } from '../rules/url.js'
import { addProblem } from './values.js'

const EXAMPLE = 'postgresql://user@host/database'

const PROTOCOLS = ['postgres:', 'postgresql:']

/** Parameters of libpq that choose one of several servers. The driver `pg` ignores them. */
const SERVER_CHOICE_PARAMETERS = ['target_session_attrs', 'load_balance_hosts']

const ONE_HOST =
  'name the primary alone, by an address that follows a failover, such as a virtual IP, a DNS name or a TCP proxy'

/** Schema of the URL of a PostgreSQL database. The URL must name one host only. */
export const databaseUrl = z.string().superRefine((text, context) => {
  // Several hosts with ports are not a valid URL, so they are detected before the URL is parsed.
  const authority = /^[a-z]+:\/\/([^/?#]*)/.exec(text)?.[1] ?? ''
  const hosts = authority.slice(authority.lastIndexOf('@') + 1)
  if (hosts.includes(',')) return refuseHosts(context)
  const url = readUrl(text)
  if (url === null || !PROTOCOLS.includes(url.protocol)) {
    return addProblem(
      context,
      `must be a URL such as ${EXAMPLE}, with a password percent-encoded (# is %23, / is %2F)`,
    )
  }
  if (url.searchParams.get('host')?.includes(',')) return refuseHosts(context)
  const name = SERVER_CHOICE_PARAMETERS.find((parameter) => url.searchParams.has(parameter))
  if (name !== undefined) {
    addProblem(
      context,
      `must not contain ${name}, which is not supported: remove it, and ${ONE_HOST}`,
    )
  }
})

function refuseHosts(context: z.RefinementCtx): void {
  addProblem(context, `must not contain several hosts, which are not supported: ${ONE_HOST}`)
}
