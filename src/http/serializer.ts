import fastJson, { type AnySchema } from 'fast-json-stringify'
import type { FastifySerializerCompiler } from 'fastify/types/schema.js'
import { z } from 'zod'

/** Writes a response as JSON. */
type Serialize = (response: unknown) => string

/**
 * Creates a compiler that generates a serializer for the schema of a response. A serializer writes only the fields of the
 * schema, in its order. Handlers return objects whose types follow from the schemas, so responses are not validated again.
 */
export function createSerializerCompiler(): FastifySerializerCompiler<z.ZodType> {
  // Routes share the schemas of errors.
  const serializers = new Map<z.ZodType, Serialize>()
  return ({ schema }) => {
    const serialize = serializers.get(schema) ?? compile(schema)
    serializers.set(schema, serialize)
    return serialize
  }
}

function compile(schema: z.ZodType): Serialize {
  // In OpenAPI 3.0, a field that can be null has `nullable`, not a union, of which the serializer would try each part.
  const jsonSchema = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'output' })
  return fastJson(jsonSchema as AnySchema)
}
