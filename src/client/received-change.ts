import type { Change } from '../rules/change-feed.js'

type ChangeOf<Kind> = Extract<Change, { kind: Kind }>

/** The part of a change that the client uses. */
export type ReceivedChange =
  | Pick<ChangeOf<'user'>, 'kind' | 'userId' | 'at' | 'allSessionsAt'>
  | Pick<ChangeOf<'session'>, 'kind' | 'sessionId' | 'userId' | 'at' | 'ended'>
  | ChangeOf<'floor'>
  | Pick<ChangeOf<'forgotten_user'>, 'kind' | 'key' | 'userHash' | 'at' | 'allSessionsAt'>
  | Pick<ChangeOf<'forgotten_session'>, 'kind' | 'key' | 'sessionHash' | 'at' | 'ended'>
