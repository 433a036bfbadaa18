// The entry point of oidc-provider warns that Node 20 is not supported. The modules below work on Node 20, as the tests
// show, so the demo imports them directly.

declare module 'oidc-provider/lib/provider.js' {
  export { Provider } from 'oidc-provider'
}

declare module 'oidc-provider/lib/helpers/errors.js' {
  export const AccessDenied: typeof import('oidc-provider').errors.AccessDenied
}

declare module 'oidc-provider/lib/adapters/memory_adapter.js' {
  export function createMemoryAdapter(): import('oidc-provider').AdapterFactory
}
