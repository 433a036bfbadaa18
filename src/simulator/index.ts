export { buildEntry, type EntrySubject } from './entries.js'
export { environmentOf } from './environment.js'
export * as faults from './faults.js'
export { generateHistory, type HistoryOptions } from './history.js'
export { type Action, type ActionRun, createActionApi, loadAction } from './run-action.js'
export { createSimulator, type Simulator, type SimulatorOptions } from './server.js'
export {
  createTenant,
  type LogEntry,
  type SimulatedTenantOptions,
  type Tenant,
} from './tenant.js'
export type { SimulatorHandle, UseSimulatorOptions } from './test-hooks.js'
export { createTraffic, type Traffic, type TrafficOptions } from './traffic.js'
