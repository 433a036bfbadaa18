import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { abortedError } from '../errors.js'

/** Asks for values, one line each. */
export interface Prompt {
  /**
   * Prints the question, and reads a line.
   *
   * @param isSecret Whether the terminal must not show the line.
   * @returns The line without surrounding spaces; `null` at the end of the input.
   * @throws `ABORTED` when the signal aborts.
   */
  ask(question: string, isSecret?: boolean): Promise<string | null>
  close(): void
}

/** The streams of a prompt. */
export interface PromptOptions {
  input: NodeJS.ReadableStream
  output: NodeJS.WritableStream
  /** Whether the input is a terminal. Otherwise nothing but the questions is printed. */
  isTerminal: boolean
  signal: AbortSignal
  /** Called at Ctrl-C, for which a terminal sends no signal while a line is read. */
  onInterrupt(): void
}

/** Opens a prompt. It stores no history, and shows no line that is secret. */
export function openPrompt(options: PromptOptions): Prompt {
  const { input, output, isTerminal, signal, onInterrupt } = options
  let isMuted = isTerminal
  const visible = new Writable({
    write(chunk, _encoding, done) {
      if (!isMuted) output.write(chunk)
      done()
    },
  })
  const settings = { input, output: visible, terminal: isTerminal, historySize: 0, signal }
  const lines = createInterface(settings)
  lines.on('SIGINT', onInterrupt)
  // The rest of a pasted text belongs to the next question, which can be secret.
  lines.on('line', () => {
    isMuted = isTerminal
  })
  let isClosed = false
  lines.on('close', () => {
    isClosed = true
  })
  const iterator = lines[Symbol.asyncIterator]()
  return {
    async ask(question, isSecret = false) {
      isMuted = isSecret
      // On a terminal, a prompt of `lines` would also show what has been typed before a secret question.
      if (isSecret || !isTerminal) output.write(question)
      // At the end of the input, `lines` is closed, but lines that are already read remain. Node 24 then rejects a prompt.
      if (isTerminal && !isClosed) {
        lines.setPrompt(isSecret ? '' : question)
        lines.prompt()
      }
      const { value, done } = await iterator.next()
      // The line break that ends the line was muted, or the input is no terminal and shows none.
      if (isSecret || !isTerminal) output.write('\n')
      if (signal.aborted) throw abortedError()
      return done ? null : value.trim()
    },
    close: () => lines.close(),
  }
}
