import { describeJobs } from './jobs-suite.js'
import { startRedisStore } from './stores.js'

describeJobs(await startRedisStore())
