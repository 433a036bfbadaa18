import { loadConfig } from '../config/config.js'
import { migrate as migrateDatabase } from '../service/open-database.js'
import type { CommandContext } from './context.js'

/** `migrate`: creates or updates the tables. */
export async function migrate(context: CommandContext): Promise<void> {
  const applied = await migrateDatabase(loadConfig(context.env, ['database']))
  for (const name of applied) context.print(`applied ${name}\n`)
  context.print('the database is up to date\n')
}
