import { readFile } from 'node:fs/promises'

/** A block of code in a Markdown document. */
export interface CodeBlock {
  document: string
  /** The heading of the section. */
  heading: string
  /** The language, or an empty string if the block names no language. */
  language: string
  code: string
}

/** Lists the blocks of code of a Markdown document in their order. Removes the indentation of each block. */
export async function listCodeBlocks(document: string): Promise<CodeBlock[]> {
  const text = await readFile(document, 'utf8')
  const blocks: CodeBlock[] = []
  let heading = ''
  // One search finds headings and blocks, so that a line of code with a leading `#` does not count as a heading.
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

/**
 * Returns the code of an example in a Markdown document.
 *
 * @param index Selects one of several examples in this language in the section.
 */
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
