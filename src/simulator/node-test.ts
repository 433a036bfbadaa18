import { after, afterEach, before } from 'node:test'
import { registerSimulator, type SimulatorHandle, type UseSimulatorOptions } from './test-hooks.js'

/**
 * Starts a simulator for all tests of this file or of the surrounding `describe`. For `node:test`.
 *
 * @returns The simulator, for use in tests and hooks.
 */
export function useSimulator(options?: UseSimulatorOptions): SimulatorHandle {
  return registerSimulator({ beforeAll: before, afterEach, afterAll: after }, options)
}
