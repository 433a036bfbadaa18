/**
 * User ids that contain special characters of URLs, headers and HTML. With an enterprise connection, user ids can look
 * like this.
 */
export const ODD_IDS = [
  'auth0|123',
  'samlp|corp|a/b',
  'samlp|x|a/../b',
  'samlp|x|./a//b/',
  'a%2Fb|x',
  'x|ü ł',
  'x|ä😀',
  'x|a+b&c=d',
  'x|a?b#c',
  'x|a\\b',
  'x|..',
  '..',
  'x|a;b,c\'d"e<f>',
  'x|100%',
  'x|user@example.com',
] as const
