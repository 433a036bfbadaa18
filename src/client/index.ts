export {
  type Claims,
  createLastLogoutClient,
  type LastLogoutClient,
} from './client.js'
export type { Decision, UnknownReason } from './decision.js'
export { LastLogoutClientError, type LastLogoutClientErrorCode } from './errors.js'
export type { LogoutListener, ReceivedLogout } from './logout-listeners.js'
export type { LastLogoutClientOptions } from './options.js'
export { type Refusal, toRefusal } from './refusal.js'
export type { WatchEnd, WatchOptions } from './watch-review.js'
