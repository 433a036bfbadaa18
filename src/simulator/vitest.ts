import { afterAll, afterEach, beforeAll } from 'vitest'
import { registerSimulator, type SimulatorHandle, type UseSimulatorOptions } from './test-hooks.js'

/**
 * Starts a simulator for the tests of this file or of the surrounding `describe`, with Vitest.
 *
 * @returns The simulator. Use it in a test or in a hook.
 */
export function useSimulator(options?: UseSimulatorOptions): SimulatorHandle {
  return registerSimulator({ beforeAll, afterEach, afterAll }, options)
}
