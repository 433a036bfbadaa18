import { after, afterEach, before } from 'node:test'
import { registerSimulator, type SimulatorHandle, type UseSimulatorOptions } from './test-hooks.js'

/**
 * Starts a simulator for the tests of this file or of the surrounding `describe`, with `node:test`.
 *
 * @returns The simulator. Use it in a test or in a hook.
 */
export function useSimulator(options?: UseSimulatorOptions): SimulatorHandle {
  return registerSimulator({ beforeAll: before, afterEach, afterAll: after }, options)
}
