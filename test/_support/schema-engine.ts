import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'

const noFilters = { externalTables: ['public._prisma_migrations'], externalEnums: [] }

/** Returns the SQL with which Prisma's schema engine would create the tables of `prisma/schema.prisma`. */
export async function readSchemaSql(databaseUrl: string): Promise<string> {
  await instantiate()
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
      filters: noFilters,
    })
    return diff.stdout ?? ''
  } finally {
    engine.free()
  }
}

/** Instantiates the WebAssembly module through Node's API, because the entry point of the package needs a bundler. */
async function instantiate(): Promise<void> {
  const file = createRequire(import.meta.url)
    .resolve('@prisma/schema-engine-wasm')
    .replace('schema_engine.js', 'schema_engine_bg.wasm')
  const { instance } = await webAssembly.instantiate(await readFile(file), {
    './schema_engine_bg.js': bindings,
  })
  bindings.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
}

/** TypeScript declares `WebAssembly` only in the types of browsers. */
const { WebAssembly: webAssembly } = globalThis as unknown as {
  WebAssembly: {
    instantiate(
      bytes: Uint8Array,
      imports: Record<string, unknown>,
    ): Promise<{ instance: { exports: Record<string, () => void> & { __wbindgen_start(): void } } }>
  }
}
