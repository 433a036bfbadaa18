import { describe, expect, test } from 'vitest'
import { listReleaseProblems, type ReleaseState, readNotes } from '../scripts/packages/release.js'

// `readNotes` reads the notes of a release from the changelog. `listReleaseProblems` lists what must be corrected
// before the current commit can be published.

const CHANGELOG = `# Changelog

## Unreleased

### Added

- Something new.

## 0.2.0 (2026-12-01)

### Fixed

- Something old.

## 0.1.0
`

/** The state of a commit that can be published. */
const READY: ReleaseState = {
  version: '0.2.0',
  repositoryUrl: 'https://github.com/OWNER/last-logout',
  changelog: CHANGELOG,
  tags: ['latest', 'v0.2.0'],
  changedFiles: [],
}

describe('the notes of a release', () => {
  test('readNotes returns the section of the changelog with this heading, without the heading and its date', () => {
    expect(readNotes(CHANGELOG, '0.2.0')).toBe('### Fixed\n\n- Something old.')
    expect(readNotes(CHANGELOG, 'Unreleased')).toBe('### Added\n\n- Something new.')
  })

  test('readNotes returns null if no heading is exactly this version', () => {
    expect(readNotes(CHANGELOG, '0.2')).toBeNull()
    expect(readNotes(CHANGELOG, '0.3.0')).toBeNull()
  })
})

test('a commit can be published if it has a tag and a section of the changelog, the address of the repository is set, and all changes are committed', () => {
  expect(listReleaseProblems(READY)).toEqual([])
})

test.each<[state: string, overrides: Partial<ReleaseState>, problem: RegExp]>([
  ['of a repository whose address is not set', { repositoryUrl: '' }, /REPOSITORY_URL/],
  [
    'without a section of the changelog for its version',
    { version: '0.3.0', tags: ['v0.3.0'] },
    /no section for 0\.3\.0/,
  ],
  ['without a tag of its version', { tags: ['v0.1.0'] }, /git tag v0\.2\.0/],
  [
    'with changes that are not committed',
    { changedFiles: [' M a.ts', ' M b.ts'] },
    /^2 files .* M a\.ts/,
  ],
])(
  'a commit %s cannot be published, and the only problem names the reason',
  (_state, overrides, problem) => {
    const problems = listReleaseProblems({ ...READY, ...overrides })
    expect(problems).toEqual([expect.stringMatching(problem)])
  },
)
