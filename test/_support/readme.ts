import { readFile } from 'node:fs/promises'

/** Reads the first example in this language below a heading of the README. */
export async function readExample(heading: string, language: string): Promise<string> {
  const readme = await readFile('README.md', 'utf8')
  const section = readme.split(`## ${heading}\n`)[1]?.split(/\n##+ /)[0] ?? ''
  const [, code] = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(section) ?? []
  if (code === undefined)
    throw new Error(`the README has no ${language} example below the heading ${heading}`)
  return code
}
