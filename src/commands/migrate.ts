import { loadConfig } from '../config/config.js'
import { migrate } from '../service/open-database.js'
import type { CommandContext } from './context.js'

/** Runs `migrate`: creates or updates the tables of the database. */
export async function runMigrate(context: CommandContext): Promise<void> {
  const applied = await migrate(loadConfig(context.env, ['database']))
  for (const name of applied) context.print(`applied ${name}\n`)
  context.print('the database is up to date\n')
}
