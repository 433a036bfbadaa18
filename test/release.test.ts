import { describe, expect, test } from 'vitest'
import { listReleaseProblems, type ReleaseState, readNotes } from '../scripts/packages/release.js'

const CHANGELOG = `# Changelog

## Unreleased

### Added

- Something new.

## 0.2.0 (2026-12-01)

### Fixed

- Something old.

## 0.1.0
`

const READY: ReleaseState = {
  version: '0.2.0',
  repositoryUrl: 'https://github.com/OWNER/last-logout',
  changelog: CHANGELOG,
  tags: ['latest', 'v0.2.0'],
  changedFiles: [],
}

describe('the notes of a release', () => {
  test('the notes of a release are the section of its version', () => {
    expect(readNotes(CHANGELOG, '0.2.0')).toBe('### Fixed\n\n- Something old.')
    expect(readNotes(CHANGELOG, 'Unreleased')).toBe('### Added\n\n- Something new.')
  })

  test('the notes of a release are missing for a version without a section', () => {
    expect(readNotes(CHANGELOG, '0.2')).toBeNull()
    expect(readNotes(CHANGELOG, '0.3.0')).toBeNull()
  })
})

test('a tagged commit with a section, an address and no changes can be published', () => {
  expect(listReleaseProblems(READY)).toEqual([])
})

test.each<[string, Partial<ReleaseState>, RegExp]>([
  ['without the address of the repository', { repositoryUrl: '' }, /REPOSITORY_URL/],
  [
    'without a section of the changelog',
    { version: '0.3.0', tags: ['v0.3.0'] },
    /no section for 0\.3\.0/,
  ],
  ['without its tag', { tags: ['v0.1.0'] }, /git tag v0\.2\.0/],
  [
    'with changes that are not committed',
    { changedFiles: [' M a.ts', ' M b.ts'] },
    /^2 files .* M a\.ts/,
  ],
])(
  'a commit %s cannot be published, and the problem names the reason',
  (_state, overrides, problem) => {
    const problems = listReleaseProblems({ ...READY, ...overrides })
    expect(problems).toEqual([expect.stringMatching(problem)])
  },
)
