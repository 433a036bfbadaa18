import fastJson, { type AnySchema } from 'fast-json-stringify'
import type { FastifySerializerCompiler } from 'fastify/types/schema.js'
import { z } from 'zod'

/** Converts a response to JSON. */
type Serialize = (response: unknown) => string

/**
 * Creates a compiler that generates a serializer from the schema of a response. A serializer writes only the fields of
 * the schema. It does not validate the response, because the types of the handlers are derived from the schemas.
 */
export function createSerializerCompiler(): FastifySerializerCompiler<z.ZodType> {
  // Routes share the schemas of errors, so each schema is compiled once.
  const serializers = new Map<z.ZodType, Serialize>()
  return ({ schema }) => {
    const serialize = serializers.get(schema) ?? compile(schema)
    serializers.set(schema, serialize)
    return serialize
  }
}

function compile(schema: z.ZodType): Serialize {
  // OpenAPI 3.0 has the keyword `nullable` for a field that can be null. Later versions use a union, which is slow to
  // serialize.
  const jsonSchema = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'output' })
  return fastJson(jsonSchema as AnySchema)
}
