/** The text of each reason of a verdict. */
export const REASONS = {
  session_ended: 'Auth0 has ended the session of the token',
  session_logout: 'the login is not after the logout of its session',
  all_sessions_logout: 'the login is not after a logout of all sessions',
  user_logout: 'the login is not after the last logout of the user',
  floor: 'the login is not after the floor',
  login_unknown: 'a logout applies to the token, and no claim contains the time of the login',
  no_subject: 'no known logout applies to the token, and a claim is invalid',
  login_unreadable: 'no known logout applies to the token, and the claim of the login is invalid',
  no_logout: 'no known logout applies to the token',
  login_after_logout: 'the login is after every logout that applies to the token',
  machine_token: 'the token belongs to an application, which does not log out',
}
