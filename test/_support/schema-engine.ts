import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'

/** Filters of the schema engine. They exclude only Prisma's table of migrations. */
const FILTERS = { externalTables: ['public._prisma_migrations'], externalEnums: [] }

/** Returns the SQL that creates the tables in `prisma/schema.prisma`. Prisma's schema engine generates it. */
export async function readSchemaSql(databaseUrl: string): Promise<string> {
  await loadSchemaEngine()
  const schema = { path: 'schema.prisma', content: await readFile('prisma/schema.prisma', 'utf8') }
  const adapter = bindMigrationAwareSqlAdapterFactory(
    new PrismaPg({ connectionString: databaseUrl }),
  )
  const engine = await bindings.SchemaEngine.new(
    { datamodels: [[schema.path, schema.content]] },
    () => {},
    adapter,
  )
  try {
    const diff = await engine.diff({
      from: { tag: 'empty' },
      to: { tag: 'schemaDatamodel', files: [schema] },
      script: true,
      exitCode: null,
      filters: FILTERS,
    })
    return diff.stdout ?? ''
  } finally {
    engine.free()
  }
}

/** Loads the WebAssembly module of the schema engine. The package's own entry point needs a bundler. */
async function loadSchemaEngine(): Promise<void> {
  const file = createRequire(import.meta.url)
    .resolve('@prisma/schema-engine-wasm')
    .replace('schema_engine.js', 'schema_engine_bg.wasm')
  const { instance } = await webAssembly.instantiate(await readFile(file), {
    './schema_engine_bg.js': bindings,
  })
  bindings.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
}

/** The global `WebAssembly` with its type. TypeScript declares it only for browsers. */
const { WebAssembly: webAssembly } = globalThis as unknown as {
  WebAssembly: {
    instantiate(
      bytes: Uint8Array,
      imports: Record<string, unknown>,
    ): Promise<{ instance: { exports: Record<string, () => void> & { __wbindgen_start(): void } } }>
  }
}
