import type { ErrorCode } from '../src/errors.js'

/** The documentation of an error code. */
interface ErrorDescription {
  /** When the error occurs. */
  when: string
  /** What the operator can do. */
  todo: string
}

/** The documentation of every error code, in the order of docs/errors.md. */
const ERROR_CODES: Record<ErrorCode, ErrorDescription> = {
  CONFIGURATION: {
    when: 'An environment variable is missing or invalid, or variables contradict each other: the message lists every problem. Or a variable names something that is not supported: a database without UTF8, a database user without a privilege, an old Redis or a Redis Sentinel, a certificate that is not trusted. Or `DATA_DIR` is set, and the embedded PostgreSQL is not installed.',
    todo: 'Correct the variables that the message lists, in the environment or in `.env`, or run the SQL or the command that it contains.',
  },
  USAGE: {
    when: 'An argument or an option of a command is invalid.',
    todo: 'Correct the argument as the message says. `last-logout COMMAND --help` describes the arguments.',
  },
  OTHER_TENANT: {
    when: 'The database holds the logouts of another tenant than `AUTH0_DOMAIN`.',
    todo: 'Give each tenant its own database, or correct `AUTH0_DOMAIN` or `DATABASE_URL`.',
  },
  DATA_DIR_IN_USE: {
    when: 'Another process, or another container, uses the embedded PostgreSQL in `DATA_DIR`.',
    todo: 'Stop the other process, or set another `DATA_DIR`. Run the commands for a service in the same container or on the same machine as the service. To run several processes, set `DATABASE_URL` instead.',
  },
  DATA_DIR_UNUSABLE: {
    when: 'The embedded PostgreSQL cannot run in `DATA_DIR`. The directory, its permissions, its file system or the version of its data is unsuitable, or PostgreSQL refused to start.',
    todo: 'Correct the problem that the message names, or set `DATABASE_URL` instead of `DATA_DIR`.',
  },
  DATABASE_NOT_MIGRATED: {
    when: 'The tables are missing or older than this version of last-logout, or a migration failed.',
    todo: 'Run `last-logout migrate`. If a migration failed, follow the message.',
  },
  DATABASE_UNAVAILABLE: {
    when: 'PostgreSQL does not respond, refuses the connection, or reports an error. The message contains the SQLSTATE if there is one.',
    todo: 'Check that PostgreSQL runs and that `DATABASE_URL` is correct. A running service reconnects by itself.',
  },
  AUTH0_CREDENTIALS: {
    when: 'Auth0 refuses the client credentials, or its Management API refuses an access token that it has just issued.',
    todo: 'Check `AUTH0_CLIENT_ID` and `AUTH0_CLIENT_SECRET`, and that `AUTH0_DOMAIN` is the canonical domain of the tenant, not a custom domain. Authorize the machine-to-machine application for the Auth0 Management API.',
  },
  AUTH0_SCOPE: {
    when: 'The application lacks a scope of the Auth0 Management API.',
    todo: 'Grant the scope that the message names, in the Auth0 Dashboard: Applications > the application > APIs.',
  },
  AUTH0_RATE_LIMIT: {
    when: 'Auth0 responds with 429. last-logout waits for the time that Auth0 gives, and retries.',
    todo: 'Nothing, if it is temporary. If it lasts, find other callers of the Management API, or lower `RATE_SHARE`.',
  },
  AUTH0_CHECKPOINT_REFUSED: {
    when: 'Auth0 refuses the position from which the log is read, and replacing the position did not help.',
    todo: 'Report it if it lasts for more than a few polls, with the version of last-logout and the output of `last-logout doctor`.',
  },
  AUTH0_REFUSED: {
    when: 'Auth0 refuses a request with a client error (4xx) that has no code of its own here.',
    todo: 'Follow the message. Report it if it lasts, with the version of last-logout.',
  },
  AUTH0_MALFORMED_PAGE: {
    when: "A response of Auth0 differs from Auth0's documentation, or is too large. If it is a page of the log, last-logout does not read past it, so that it misses no logout.",
    todo: 'Check `AUTH0_BASE_URL` and the proxies between last-logout and Auth0. Report it if it lasts, with the version of last-logout.',
  },
  AUTH0_UNAVAILABLE: {
    when: 'Auth0 cannot be reached, does not respond in time, fails TLS certificate verification, or responds with a server error. Or a system in front of Auth0 responds instead, such as a firewall with 403 and HTML. last-logout retries with backoff.',
    todo: "Check `AUTH0_DOMAIN`, the network, the system that the message names, and Auth0's status page. If this host reaches Auth0 only through a proxy, set `HTTPS_PROXY`. Behind a proxy that terminates TLS, set `NODE_EXTRA_CA_CERTS` to its certificate.",
  },
  KEY_SET_UNAVAILABLE: {
    when: 'The key set with which the tokens of users are verified cannot be fetched. Until it can be fetched, the known keys are used for one hour. After that, it is unknown whether a token is valid, and gateways get 503.',
    todo: 'If `TOKEN_JWKS_URL` is set, check it; otherwise check `AUTH0_DOMAIN`. The URL must respond with a JSON Web Key Set. If a proxy leads to Auth0, set `HTTPS_PROXY`.',
  },
  CLOCK_AHEAD: {
    when: 'The clock of Auth0 is more than a minute ahead of the clock of the database server. Freshness does not advance.',
    todo: 'Synchronize the clock of the database server (NTP), and run `last-logout doctor`.',
  },
  OTHER_ACTION: {
    when: 'The tenant has an Action of the same name that is not the login Action of last-logout.',
    todo: 'Rename that Action, or choose another name with `--name`.',
  },
  ACTION_NOT_DEPLOYED: {
    when: 'The login Action of this version is not deployed or not bound to post-login, or Auth0 could not build it.',
    todo: 'Run `last-logout action deploy`. If the build failed, see Actions > Library in the Auth0 Dashboard.',
  },
  LEASE_HELD: {
    when: '`last-logout sync` waited a minute for another process that reads the log of the tenant, and gave up.',
    todo: 'Nothing, if a worker runs: the worker reads the log. Otherwise stop the other process, or wait until its lease has expired.',
  },
  CHECKS_FAILED: {
    when: '`last-logout doctor` found at least one failure. Or a check of `last-logout init` failed, or the API did not refuse a token from before the logout.',
    todo: 'Follow the advice after each failed check.',
  },
  UNHEALTHY: {
    when: '`last-logout healthcheck` got no response from the API, or another status than 200. With `--ready`, the database is unavailable. With `--fresh`, the database is unavailable, or the data is older than `MAX_LAG`. Or the API that `last-logout init` started responded with an error.',
    todo: 'Read the log of the API, and run `last-logout doctor`. If nothing listens at the address in the message, set `HOST` and `PORT` to those of the API.',
  },
  CANNOT_LISTEN: {
    when: 'The port or the address of the API, or of the monitoring port, cannot be bound.',
    todo: 'Do what the message says: set `PORT`, `WORKER_PORT` or `HOST` to values that are free on this machine.',
  },
  UNFINISHED: {
    when: 'A command was interrupted by a signal, or because its output was closed, before it had finished. Or `last-logout init` waited in vain for the log to be read, or for a logout.',
    todo: 'Run the command again. With `--wait`, `last-logout init` waits for longer.',
  },
  STALLED: {
    when: 'A job made no progress within its timeout and was aborted.',
    todo: 'Nothing, if it is rare: the job runs again. If it lasts, check the database and the network to Auth0.',
  },
  NO_PROGRESS: {
    when: 'A loop repeated without progress and was ended. The database does not return what was written, or the pages of Auth0 do not end.',
    todo: 'Check that `DATABASE_URL` leads to the primary PostgreSQL server, and that no other installation of last-logout uses the same database. Run `last-logout doctor`.',
  },
  ABANDONED: {
    when: 'A job did not end within the grace period after it was aborted. The next run starts without waiting for it.',
    todo: 'Nothing, if it occurs once. If it recurs, restart the process.',
  },
  ABORTED: {
    when: 'An operation was stopped, for example by SIGTERM. Everything that was stored before remains stored.',
    todo: 'Nothing.',
  },
}

const INTRODUCTION = `# Error codes

<!-- Generated by \`npm run docs:errors\` from scripts/error-codes.ts. Do not edit. -->

Every error that last-logout expects has a code. Logs show it as \`err.code\`, and the metric \`last_logout_job_failures_total\` has it as the label \`code\`.
Report any other error with its log line. The metric counts those as \`UNEXPECTED\`.

A command prints the message of the error and exits with 2 for \`CONFIGURATION\`, \`USAGE\` and \`OTHER_TENANT\`, with 0 for \`ABORTED\` after a signal, and with 1
otherwise.
`

/** Returns the text of docs/errors.md. */
export function renderErrorCodes(): string {
  const sections = Object.entries(ERROR_CODES).map(
    ([code, { when, todo }]) => `\n## ${code}\n\n${when}\n\n**What to do:** ${todo}\n`,
  )
  return INTRODUCTION + sections.join('')
}
