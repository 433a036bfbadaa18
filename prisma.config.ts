import { defineConfig } from 'prisma/config'

// `prisma generate` asks for the native schema engine and then does not run it. Naming any program
// that exists keeps it from downloading one, so that a build needs the npm registry and no more.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
})
