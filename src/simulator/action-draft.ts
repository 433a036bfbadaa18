import { z } from 'zod'
import { ApiError } from './errors.js'

const TRIGGER = z.strictObject({ id: z.string(), version: z.string().optional() })
const SECRET = z.strictObject({
  name: z.string().min(1).max(128),
  value: z.string().max(4_096),
})
const DEPENDENCY = z.strictObject({
  name: z.string(),
  version: z.string(),
  registry_url: z.string().optional(),
})
const DRAFT = z.strictObject({
  name: z.string().min(1),
  supported_triggers: z.array(TRIGGER).length(1),
  code: z.string().max(100_000).default(''),
  runtime: z.enum(['node18', 'node22']).default('node22'),
  secrets: z.array(SECRET).max(30).default([]),
  dependencies: z.array(DEPENDENCY).max(10).default([]),
})
/** The body of a request that creates an Action. With `deploy`, the Action is deployed after its build. */
export const NEW_ACTION = z.strictObject({ ...DRAFT.shape, deploy: z.boolean().default(false) })
/**
 * The body of a request that updates an Action. It has no defaults, because fields that are not in the body keep their
 * values.
 */
export const PATCH = z
  .strictObject({
    ...DRAFT.shape,
    code: DRAFT.shape.code.unwrap(),
    runtime: DRAFT.shape.runtime.unwrap(),
    secrets: DRAFT.shape.secrets.unwrap(),
    dependencies: DRAFT.shape.dependencies.unwrap(),
  })
  .partial()

/** Parses the body of a request. Throws an `ApiError` like Auth0's if the body is invalid. */
export function parse<T>(schema: z.ZodType<T>, body: unknown): T {
  const { data, error } = schema.safeParse(body)
  if (error === undefined) return data as T
  const { message, path } = error.issues[0] ?? { message: '', path: [] }
  const text = `Payload validation error: '${message}' on property ${path.join('.') || 'body'}`
  throw new ApiError(400, text, { errorCode: 'invalid_body' })
}
