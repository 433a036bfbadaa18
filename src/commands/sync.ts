import { loadConfig } from '../config/config.js'
import { createService } from '../service/service.js'
import type { CommandContext } from './context.js'
import { createProgressLine, createProgressLog } from './progress-display.js'

/** Runs `sync`: reads the log to its end once, and shows the progress. */
export async function runSync(context: CommandContext): Promise<void> {
  const config = loadConfig(context.env, ['auth0', 'database'])
  const log = await context.createLog(config.logLevel, 'stdout')
  const service = await createService(config, log)
  const progress = context.isTerminal ? createProgressLine(context.print) : createProgressLog(log)
  try {
    await service.sync(context.stop, progress.update)
    progress.finish()
  } finally {
    await service.close()
  }
}
