/** The error description in the 401 response to a revoked token. */
export const REVOKED_DESCRIPTION = 'the token was revoked by a logout'

/** The header `WWW-Authenticate` in the 401 response to a revoked token. */
export const REVOKED_CHALLENGE =
  'Bearer error="invalid_token", error_description="the token was revoked by a logout"'
