#!/usr/bin/env bash
# A field with @ignore that is part of the key is read all the same.
#
# Versions: prisma, @prisma/client 7.10.0; Node 20.20. No database is needed: a driver adapter of this
# script prints the SQL that the client would send.
#
# Guess, before it was run: "@ignore leaves a field out of the client: no query of the client names its
# column, be the field part of @@id or not."
#
# What happens: findMany() of a model whose @@id has an ignored field selects that field's column, which
# the result then does not have. Where the ignored field is not part of the key, the column is left out, as
# it is by groupBy() in both. Whoever marks a column with @ignore because the driver cannot read its values
# (a date under another DateStyle, say) still lets them cross the driver.
#
# Seen:
#   findMany, ignored field in the key:      SELECT "public"."InKey"."reason", "public"."InKey"."day", "public"."InKey"."count" FROM "public"."InKey" WHERE 1=1 OFFSET $1
#   findMany, ignored field beside the key:  SELECT "public"."BesideKey"."reason", "public"."BesideKey"."count" FROM "public"."BesideKey" WHERE 1=1 OFFSET $1
#   groupBy, ignored field in the key:       SELECT SUM("public"."InKey"."count") AS "_sum$count", "public"."InKey"."reason" FROM "public"."InKey" WHERE 1=1 GROUP BY "public"."InKey"."reason" OFFSET $1
#
# Exits with 1 when that changes.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export PRISMA_SCHEMA_ENGINE_BINARY
PRISMA_SCHEMA_ENGINE_BINARY=$(command -v node)

cat >package.json <<'JSON'
{ "private": true, "type": "module" }
JSON
npm install --silent --no-audit --no-fund --ignore-scripts prisma@7.10.0 @prisma/client@7.10.0 tsx@4.23.15

cat >schema.prisma <<'PRISMA'
generator client {
  provider = "prisma-client"
  output   = "./generated"
}
datasource db {
  provider = "postgresql"
}
model InKey {
  reason String
  day    DateTime @ignore @db.Date
  count  BigInt
  @@id([reason, day])
}
model BesideKey {
  reason String   @id
  day    DateTime @ignore @db.Date
  count  BigInt
}
PRISMA
npx prisma generate --schema schema.prisma --no-hints >/dev/null 2>&1

cat >run.ts <<'TS'
import { PrismaClient } from './generated/client'

let sent = ''
const nothing = { columnNames: [], columnTypes: [], rows: [] }
const connection = {
  provider: 'postgres' as const,
  adapterName: 'recorder',
  queryRaw: async ({ sql }: { sql: string }) => {
    sent = sql
    return nothing
  },
  executeRaw: async () => 0,
  executeScript: async () => {},
  startTransaction: async () => {
    throw new Error('not used')
  },
  dispose: async () => {},
}
const adapter = { provider: 'postgres' as const, adapterName: 'recorder', connect: async () => connection }
const prisma = new PrismaClient({ adapter: adapter as never })
await prisma.inKey.findMany()
const inKey = sent
await prisma.besideKey.findMany()
const besideKey = sent
await prisma.inKey.groupBy({ by: ['reason'], _sum: { count: true } })
const grouped = sent
console.log(`findMany, ignored field in the key:      ${inKey}`)
console.log(`findMany, ignored field beside the key:  ${besideKey}`)
console.log(`groupBy, ignored field in the key:       ${grouped}`)
const reads = (sql: string) => /"day"/.test(sql.split(' FROM ')[0] ?? '')
process.exitCode = reads(inKey) && !reads(besideKey) && !reads(grouped) ? 0 : 1
TS
npx tsx run.ts
