import { environmentOf } from './environment.js'
import { createSimulator, type Simulator, type SimulatorOptions } from './server.js'
import { createTenant, type SimulatedTenantOptions } from './tenant.js'

/** The options of `useSimulator`: the options of the tenant and of its simulator. No option is required. */
export interface UseSimulatorOptions
  extends Partial<SimulatedTenantOptions>,
    Omit<SimulatorOptions, 'tenant'> {}

/** A simulator that runs during the tests of a file. It can be used in tests and hooks. */
export interface SimulatorHandle extends Omit<Simulator, 'close'> {
  /** The environment variables that connect last-logout to the tenant. */
  readonly env: Record<string, string>
}

/** The hooks of a test runner. */
interface TestHooks {
  beforeAll(run: () => Promise<void>): void
  afterEach(run: () => void): void
  afterAll(run: () => Promise<void>): void
}

/**
 * Starts a simulator before the tests of a file, and closes the simulator after the tests. After each test, removes the
 * remaining faults and the recorded requests. Entries and Actions stay, so each test should use another user.
 */
export function registerSimulator(
  { beforeAll, afterEach, afterAll }: TestHooks,
  options: UseSimulatorOptions = {},
): SimulatorHandle {
  const { domain = 'acme.eu.auth0.com', lagMs = () => 0 } = options
  const tenant = createTenant({ ...options, domain, lagMs })
  let simulator: Simulator | undefined
  const getSimulator = (): Simulator => {
    if (simulator === undefined)
      throw new Error('the simulator is not running: use it in a test or in a hook')
    return simulator
  }
  beforeAll(async () => {
    simulator = await createSimulator({ ...options, tenant })
  })
  afterEach(() => {
    simulator?.faults.clear()
    simulator?.requests.clear()
  })
  afterAll(async () => {
    await simulator?.close()
    simulator = undefined
  })
  return {
    tenant,
    get url() {
      return getSimulator().url
    },
    get env() {
      return environmentOf(getSimulator())
    },
    get credentials() {
      return getSimulator().credentials
    },
    get requests() {
      return getSimulator().requests
    },
    get faults() {
      return getSimulator().faults
    },
    get actions() {
      return getSimulator().actions
    },
    get bindings() {
      return getSimulator().bindings
    },
  }
}
