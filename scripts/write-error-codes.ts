import { writeFile } from 'node:fs/promises'
import { renderErrorCodes } from './error-codes.js'

await writeFile(new URL('../docs/errors.md', import.meta.url), renderErrorCodes())
