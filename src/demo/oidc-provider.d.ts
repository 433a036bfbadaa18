// The entry of oidc-provider says on Node 20 that it is not supported. What the demo uses of it runs
// there, as the tests show, so the demo asks for the parts.

declare module 'oidc-provider/lib/provider.js' {
  export { Provider } from 'oidc-provider'
}

declare module 'oidc-provider/lib/helpers/errors.js' {
  export const AccessDenied: typeof import('oidc-provider').errors.AccessDenied
}

declare module 'oidc-provider/lib/adapters/memory_adapter.js' {
  export function createMemoryAdapter(): import('oidc-provider').AdapterFactory
}
