import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { tarballPath } from './packages/install.js'
import { PACKAGES, type PackageKind, REPOSITORY_URL, ROOT_MANIFEST } from './packages/manifest.js'
import { CHECKSUMS_FILE, packPackages, TARBALLS_DIR } from './packages/pack.js'
import { listReleaseProblems, readNotes } from './packages/release.js'

const USAGE = 'usage: npm run release -- --dry-run | --publish\n'
const EXIT_USAGE = 2

const runCommand = promisify(execFile)
const print = (text: string) => void process.stdout.write(text)

const { values } = parseArgs({
  options: {
    'dry-run': { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
  },
})
if (values['dry-run'] === values.publish) {
  process.stderr.write(USAGE)
  process.exitCode = EXIT_USAGE
} else {
  await release(values.publish)
}

/**
 * Packs all packages. Writes their checksums, bills of materials and release notes. Then publishes the packages. A dry
 * run lists the problems that prevent a release instead. A run with `--publish` stops before the packing if there are
 * problems.
 */
async function release(isPublishing: boolean): Promise<void> {
  const { version } = ROOT_MANIFEST
  const changelog = await readFile('CHANGELOG.md', 'utf8')
  const problems = listReleaseProblems({
    version,
    repositoryUrl: REPOSITORY_URL,
    changelog,
    tags: await listGitLines(['tag', '--points-at', 'HEAD']),
    changedFiles: await listGitLines(['status', '--porcelain']),
  })
  if (isPublishing && problems.length > 0) return reportProblems(problems)
  const notes = readNotes(changelog, version) ?? readNotes(changelog, 'Unreleased') ?? ''
  await packPackages()
  await writeFile(join(TARBALLS_DIR, 'NOTES.md'), `${notes}\n`)
  print(`version ${version}\n\n${await readFile(join(TARBALLS_DIR, CHECKSUMS_FILE), 'utf8')}`)
  print(`\nnotes (${notes.split('\n').length} lines): ${TARBALLS_DIR}/NOTES.md\n`)
  if (!isPublishing) {
    print(
      `\nNothing was published.\n${problems.map((each) => `before publishing: ${each}\n`).join('')}`,
    )
    return
  }
  for (const kind of Object.keys(PACKAGES) as PackageKind[]) {
    await runCommand('npm', ['publish', tarballPath(kind), '--provenance', '--access', 'public'])
    print(`published ${PACKAGES[kind]} ${version}\n`)
  }
}

function reportProblems(problems: string[]): void {
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.exitCode = 1
}

/** Runs git, and returns the lines of its output. */
async function listGitLines(args: string[]): Promise<string[]> {
  const { stdout } = await runCommand('git', args)
  return stdout.split('\n').filter((line) => line !== '')
}
