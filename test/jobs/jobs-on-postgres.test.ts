import { describeJobs } from './jobs-suite.js'
import { startPostgresStore } from './stores.js'

describeJobs(await startPostgresStore())
