import { readFile } from 'node:fs/promises'

/** Returns the first example in a language below a heading of a Markdown document. */
export async function readExample(
  document: string,
  heading: string,
  language: string,
): Promise<string> {
  const text = await readFile(document, 'utf8')
  const section = text.split(`## ${heading}\n`)[1]?.split(/\n##+ /)[0] ?? ''
  const [, code] = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(section) ?? []
  if (code === undefined) {
    throw new Error(`${document} has no ${language} example in the section ${heading}`)
  }
  return code
}
