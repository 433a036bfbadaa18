import { readActionFile } from '../auth0/actions/code.js'
import type { CommandContext } from './context.js'

/** `action print`: the file. */
export async function printAction(context: CommandContext): Promise<void> {
  context.print(await readActionFile())
}
