import { readActionFile } from '../auth0/actions/code.js'
import type { CommandContext } from './context.js'

/** Runs `action print`: prints the source of the login Action. */
export async function runActionPrint(context: CommandContext): Promise<void> {
  context.print(await readActionFile())
}
