/** The state of the repository before a release. */
export interface ReleaseState {
  version: string
  /** `REPOSITORY_URL` of manifest.ts. Empty if it is not set. */
  repositoryUrl: string
  /** The text of CHANGELOG.md. */
  changelog: string
  /** The tags of the current commit. */
  tags: string[]
  /** Files with changes that are not committed. */
  changedFiles: string[]
}

/** Returns the text of the section of the changelog with this heading, or `null` if there is none. */
export function readNotes(changelog: string, heading: string): string | null {
  const sections = changelog.split(/^## /m).slice(1)
  // A heading is a version, which a date can follow.
  const notes = sections.find((section) => section.split(/[\s,(]/)[0] === heading)
  return notes === undefined ? null : notes.slice(notes.indexOf('\n')).trim()
}

/** Lists the problems that prevent the release of this commit, each with its remedy. */
export function listReleaseProblems(state: ReleaseState): string[] {
  const { version, repositoryUrl, changelog, tags, changedFiles } = state
  const tag = `v${version}`
  const problems = [
    repositoryUrl === '' &&
      'the address of the repository is not set: set REPOSITORY_URL in scripts/packages/manifest.ts',
    readNotes(changelog, version) === null &&
      `CHANGELOG.md has no section for ${version}: rename "Unreleased" to "${version}"`,
    !tags.includes(tag) && `this commit has no tag ${tag}: run \`git tag ${tag}\``,
    changedFiles.length > 0 &&
      `${changedFiles.length} files have changes that are not committed, such as ${changedFiles[0]}: commit them`,
  ]
  return problems.filter((problem) => problem !== false)
}
