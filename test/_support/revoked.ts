/** The description of the error with which an API refuses a revoked token. */
export const DESCRIPTION = 'the token was revoked by a logout'

/** The challenge with which an API refuses a revoked token. */
export const CHALLENGE =
  'Bearer error="invalid_token", error_description="the token was revoked by a logout"'
