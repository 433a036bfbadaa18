/** Something that may fail over and over, and is told once rather than every time. */
export interface Trouble {
  isOn(): boolean
  /** It failed. */
  report(error: unknown): void
  /** It worked: what troubled it is over. */
  settle(): void
}

/** Whom a trouble is told to. */
export interface TroubleOptions {
  /** Called for every failure; `isNew`: the first one of its kind since it last worked. */
  onFailure(error: unknown, isNew: boolean): void
  /** Called when it works again, after so many milliseconds. */
  onOver(lastedMs: number): void
  /** What makes two failures different. Default: nothing does. */
  kindOf?(error: unknown): unknown
}

/** A trouble that has not begun. */
export function createTrouble({
  onFailure,
  onOver,
  kindOf = () => undefined,
}: TroubleOptions): Trouble {
  // All of them, not the last one alone: two that take turns are not news each time.
  const told = new Set<unknown>()
  let beganAt = 0
  return {
    isOn: () => told.size > 0,
    report(error) {
      const kind = kindOf(error)
      const isNew = !told.has(kind)
      if (told.size === 0) beganAt = performance.now()
      told.add(kind)
      onFailure(error, isNew)
    },
    settle() {
      if (told.size === 0) return
      told.clear()
      onOver(Math.round(performance.now() - beganAt))
    },
  }
}
