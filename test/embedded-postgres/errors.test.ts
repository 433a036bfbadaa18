import { expect, test } from 'vitest'
import { notStartedError, systemError } from '../../src/embedded-postgres/errors.js'

const failure = (code: string) => Object.assign(new Error(`${code}: it failed`), { code })

test.each([
  ['ENOSPC', 'Free disk space.'],
  ['EDQUOT', 'Free disk space, or raise the quota of this user.'],
  ['EROFS', 'Set a directory that this user can write to.'],
  ['EACCES', 'Set a directory that this user can write to.'],
  ['EIO', 'Correct this, or set another directory.'],
])('systemError says what to do about %s', (code, remedy) => {
  const cause = failure(code)
  expect(systemError('/data', cause)).toMatchObject({
    code: 'DATA_DIR_UNUSABLE',
    message: `The data directory /data cannot be used: ${code}: it failed. ${remedy}`,
    cause,
  })
})

test('notStartedError shows the end of the log, or names a full disk as the cause of an empty log', () => {
  const directory = { path: '/data', logFile: '/data/postgres.log' }
  expect(notStartedError(directory, '1\n2\n').message).toBe(
    'The data directory /data cannot be used: PostgreSQL did not start. The end of /data/postgres.log:\n1\n2',
  )
  expect(notStartedError(directory, '\n').message).toBe(
    'The data directory /data cannot be used: PostgreSQL did not start, and wrote nothing to /data/postgres.log. Check that the disk is not full.',
  )
})
