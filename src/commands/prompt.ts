import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { abortedError } from '../errors.js'

/** Asks questions, and reads one line as the reply to each. */
export interface Prompt {
  /**
   * Prints the question, and reads a line.
   *
   * @param isSecret If true, the terminal does not show the line. Default: false.
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
  /** Whether the input is a terminal. Without a terminal, the prompt prints nothing but the questions. */
  isTerminal: boolean
  signal: AbortSignal
  /**
   * Called when the user presses Ctrl-C. While a line is being read, the terminal does not send SIGINT for this key.
   */
  onInterrupt(): void
}

/** Opens a prompt that keeps no history. */
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
  // A pasted text can have further lines. These lines are the replies to later questions, which can be secret.
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
      // On a terminal, `lines` prints the question. It does not print a secret question, because it would print text
      // that was typed before the question as well.
      if (isSecret || !isTerminal) output.write(question)
      // At the end of the input, `lines` closes, but the iterator can still contain lines. In Node 24, `prompt` throws
      // if `lines` is closed.
      if (isTerminal && !isClosed) {
        lines.setPrompt(isSecret ? '' : question)
        lines.prompt()
      }
      const { value, done } = await iterator.next()
      // In these cases, the line break at the end of the line was not shown.
      if (isSecret || !isTerminal) output.write('\n')
      if (signal.aborted) throw abortedError()
      return done ? null : value.trim()
    },
    close: () => lines.close(),
  }
}
