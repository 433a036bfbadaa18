import { readFile } from 'node:fs/promises'

/** A block of code in a Markdown document. */
export interface CodeBlock {
  document: string
  /** The heading of the section. */
  heading: string
  /** The language; empty: none is named. */
  language: string
  code: string
}

/** Lists the blocks of code of a Markdown document, in their order, without the indentation of a list. */
export async function listCodeBlocks(document: string): Promise<CodeBlock[]> {
  const text = await readFile(document, 'utf8')
  const blocks: CodeBlock[] = []
  let heading = ''
  // A line of code can begin with `#` without being a heading, so both are searched at once.
  for (const match of text.matchAll(/^#+ (.*)$|^( *)```(\S*)\n([\s\S]*?)^ *```$/gm)) {
    const [, title, indent = '', language = '', code = ''] = match
    if (title !== undefined) heading = title
    else
      blocks.push({
        document,
        heading,
        language,
        code: code.replaceAll(`\n${indent}`, '\n').replace(indent, ''),
      })
  }
  return blocks
}

/** Returns the example of a language with this index below a heading of a Markdown document. */
export async function readExample(
  document: string,
  heading: string,
  language: string,
  index = 0,
): Promise<string> {
  const blocks = (await listCodeBlocks(document)).filter(
    (block) => block.heading === heading && block.language === language,
  )
  const block = blocks[index]
  if (block === undefined) {
    throw new Error(`${document} has no ${language} example in the section ${heading}`)
  }
  return block.code
}
