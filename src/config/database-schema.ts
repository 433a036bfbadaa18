/** Maximum length of a schema name, in bytes. PostgreSQL truncates longer names. */
const MAX_NAME_BYTES = 63

/** The names of schemas that PostgreSQL or the job queue uses. */
const RESERVED = /^(pg_|information_schema$|bullmq$)/

/** The database URLs. They are valid URLs. */
interface DatabaseUrls {
  DATABASE_URL?: string | undefined
  DATABASE_DIRECT_URL?: string | undefined
}

/** Returns a message for each problem of the parameter `schema` in the database URLs. */
export function findSchemaProblems(urls: DatabaseUrls): string[] {
  const { DATABASE_URL: url, DATABASE_DIRECT_URL: directUrl } = urls
  const invalid = Object.entries(urls).flatMap(([name, value]) => {
    const problem = findProblem(readSchema(value))
    return problem === null ? [] : [`${name} ${problem}`]
  })
  const directSchema = readSchema(directUrl)
  const differs =
    url !== undefined && directSchema !== null && directSchema !== (readSchema(url) ?? 'public')
  return differs
    ? [...invalid, 'DATABASE_DIRECT_URL names another schema than DATABASE_URL: use the same one']
    : invalid
}

/** Returns `DATABASE_DIRECT_URL` with the schema of `DATABASE_URL`. */
export function toDirectUrl({ DATABASE_URL: url, DATABASE_DIRECT_URL: directUrl }: DatabaseUrls) {
  const schema = readSchema(url)
  if (directUrl === undefined || schema === null) return directUrl
  const direct = new URL(directUrl)
  direct.searchParams.set('schema', schema)
  return direct.href
}

function findProblem(schema: string | null): string | null {
  if (schema === null) return null
  const bytes = Buffer.byteLength(schema)
  // Prisma does not escape a quote in the name.
  if (bytes === 0 || bytes > MAX_NAME_BYTES || /["\0]/.test(schema)) {
    return `must name a schema of 1 to ${MAX_NAME_BYTES} bytes without quotes, such as ?schema=last_logout`
  }
  return RESERVED.test(schema)
    ? `must not name the schema ${schema}, which is reserved: use another one, such as ?schema=last_logout`
    : null
}

function readSchema(url: string | undefined): string | null {
  return url === undefined ? null : new URL(url).searchParams.get('schema')
}
