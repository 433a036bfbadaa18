/** A test case of an alert: the values of some time series, and the times at which the alert fires. */
export interface AlertCase {
  alert: string
  /**
   * The values of each series, one per minute from minute 0, in the notation of `promtool test rules`: `1+2x3` is 1, 3,
   * 5 and 7; `1x3` is 1 four times; `_x3` is no value for three minutes; `stale` ends the series.
   */
  series: Record<string, string>
  /**
   * For each checked time, such as `10m`, the labels of each alert that then fires, without the severity. An empty
   * list: the alert does not fire.
   */
  fires: Record<string, string[]>
}

/** The label of a tenant. An alert with only this label fires once for all processes of the tenant. */
const JOB = 'job="last-logout"'
/** The labels of two processes of the tenant. */
const PROCESS_A = `${JOB},instance="a:8080"`
const PROCESS_B = `${JOB},instance="b:8080"`

/**
 * Test cases for every alert of docs/alerts.yml. Where it is possible, the values are first at the threshold, so that
 * the alert does not fire yet, and then beyond the threshold. The comment on each case states when the alert fires.
 *
 * `test/environments/alerts.test.ts` runs the cases with Prometheus. `test/metrics/documents.test.ts` compares the
 * series with those that a service exposes.
 */
export const ALERT_CASES: AlertCase[] = [
  {
    // Fires if no process of the tenant has been scraped for 5 minutes.
    alert: 'LastLogoutNotScraped',
    series: {
      [`up{${PROCESS_A}}`]: '1x10 0x20',
      [`last_logout_database_up{${PROCESS_A}}`]: '1x10 stale',
      // Another tenant has two processes, of which Prometheus reaches one. The alert does not fire for that tenant.
      'up{job="last-logout-b",instance="a:8080"}': '1x30',
      'up{job="last-logout-b",instance="b:8080"}': '0x30',
      'last_logout_database_up{job="last-logout-b",instance="a:8080"}': '1x30',
    },
    fires: { '10m': [], '15m': [], '16m': [JOB] },
  },
  {
    // Also fires if Prometheus has no target of last-logout at all. Then the alert has no labels.
    alert: 'LastLogoutNotScraped',
    series: { 'up{job="node",instance="a:9100"}': '1x10' },
    fires: { '4m': [], '6m': [''] },
  },
  {
    // Fires if a process has been unreachable for 5 minutes.
    alert: 'LastLogoutTargetDown',
    series: { [`up{${PROCESS_A}}`]: '1x10 0x20', [`up{${PROCESS_B}}`]: '1x30' },
    fires: { '15m': [], '16m': [PROCESS_A] },
  },
  {
    // Fires if a process has started more than twice again in 15 minutes, although Prometheus reached it each time.
    alert: 'LastLogoutRestarts',
    series: {
      [`up{${PROCESS_A}}`]: '1x40',
      [`process_start_time_seconds{${PROCESS_A}}`]: '0x10 600x2 800x2 1000x25',
      // Two restarts in 15 minutes can be an upgrade and its correction.
      [`process_start_time_seconds{${PROCESS_B}}`]: '0x10 600x3 900x27',
    },
    fires: { '16m': [], '17m': [PROCESS_A], '30m': [] },
  },
  {
    // A load balancer in front of two processes is one target. Their times of start alternate, so the alert fires.
    alert: 'LastLogoutRestarts',
    series: { [`process_start_time_seconds{${PROCESS_A}}`]: '100 200 100 200 100 200' },
    fires: { '2m': [], '3m': [PROCESS_A] },
  },
  {
    // Fires if the greatest lag of the processes has been above 60 s for 1 minute.
    alert: 'LastLogoutStale',
    series: {
      [`last_logout_freshness_lag_seconds{${PROCESS_A}}`]: '60x10 61x10',
      [`last_logout_freshness_lag_seconds{${PROCESS_B}}`]: '3x20',
    },
    fires: { '10m': [], '11m': [], '12m': [JOB] },
  },
  {
    // Fires if `as_of` has been ahead of the clock of the database for 1 minute. The lag is then negative.
    alert: 'LastLogoutClockBehind',
    series: {
      [`last_logout_freshness_lag_seconds{${PROCESS_A}}`]: '0x10 -61x10',
      'last_logout_freshness_lag_seconds{job="last-logout-b",instance="a:8080"}': '3x20',
    },
    fires: { '10m': [], '11m': [], '12m': [JOB] },
  },
  {
    // Fires if the last poll is more than 300 s old.
    alert: 'LastLogoutPollOverdue',
    series: { [`last_logout_last_poll_age_seconds{${PROCESS_A}}`]: '300x10 301x10' },
    fires: { '10m': [], '11m': [JOB] },
  },
  {
    // Fires if the database has been reachable, and no lag known, for 1 hour.
    alert: 'LastLogoutNeverFresh',
    series: {
      [`last_logout_database_up{${PROCESS_A}}`]: '1x100',
      [`last_logout_freshness_lag_seconds{${PROCESS_A}}`]: '_x70 3x30',
    },
    fires: { '59m': [], '60m': [JOB], '75m': [] },
  },
  {
    // Fires if more than 3 polls have failed with one code in 10 minutes, for 2 minutes.
    alert: 'LastLogoutPollsFailing',
    series: {
      [`last_logout_job_failures_total{${PROCESS_A},task="poll",code="AUTH0_UNAVAILABLE"}`]:
        '0x20 1+1x20',
      // One failure every five minutes is too few: each value stays for five minutes.
      [`last_logout_job_failures_total{${PROCESS_A},task="poll",code="DATABASE_UNAVAILABLE"}`]:
        '0x4 1x4 2x4 3x4 4x4 5x4 6x4',
      // Failures of another job do not count.
      [`last_logout_job_failures_total{${PROCESS_A},task="reconcile",code="AUTH0_UNAVAILABLE"}`]:
        '0+1x40',
    },
    fires: { '20m': [], '30m': [`${JOB},code="AUTH0_UNAVAILABLE"`] },
  },
  {
    // Fires if a job has stalled in the last hour.
    alert: 'LastLogoutStalled',
    series: {
      [`last_logout_job_failures_total{${PROCESS_A},task="reconcile",code="STALLED"}`]: '0x10 1x80',
    },
    fires: { '10m': [], '11m': [`${JOB},task="reconcile",code="STALLED"`], '75m': [] },
  },
  {
    // Fires if a loop has made more than 3 rounds without progress in 10 minutes, for 2 minutes.
    alert: 'LastLogoutNoProgress',
    series: {
      [`last_logout_rounds_without_progress_total{${PROCESS_A},loop="catch-up"}`]: '0x20 1+1x20',
      [`last_logout_rounds_without_progress_total{${PROCESS_A},loop="sweep"}`]: '0x10 2x30',
    },
    fires: { '20m': [], '30m': [`${JOB},loop="catch-up"`] },
  },
  {
    // Fires if a job has failed because of its credentials in the last 10 minutes.
    alert: 'LastLogoutCredentialsRefused',
    series: {
      // A series begins with the first failure. Failures with another code do not count.
      [`last_logout_job_failures_total{${PROCESS_A},task="poll",code="AUTH0_CREDENTIALS"}`]:
        '_x10 1+1x10',
      [`last_logout_job_failures_total{${PROCESS_A},task="poll",code="AUTH0_UNAVAILABLE"}`]:
        '0+1x20',
    },
    fires: { '10m': [], '13m': [JOB] },
  },
  {
    // Fires if Auth0 has responded with 429 more than 3 times in 15 minutes.
    alert: 'LastLogoutRateLimited',
    series: {
      [`last_logout_auth0_requests_total{${PROCESS_A},status="429"}`]: '0x20 3x20 4+1x20',
      [`last_logout_auth0_requests_total{${PROCESS_A},status="200"}`]: '0+12x60',
    },
    fires: { '25m': [], '40m': [], '55m': [JOB] },
  },
  {
    // Fires if more than 5% of the events have been stored later than 60 s after the logout, for 5 minutes.
    alert: 'LastLogoutEventsLate',
    series: {
      // At first, all events are stored within a minute. Later, only ten of twelve events are.
      [`last_logout_event_lag_seconds_bucket{${PROCESS_A},part="auth0",le="60"}`]:
        '0+10x20 210+10x40',
      [`last_logout_event_lag_seconds_bucket{${PROCESS_A},part="auth0",le="120"}`]:
        '0+10x20 212+12x40',
      [`last_logout_event_lag_seconds_bucket{${PROCESS_A},part="auth0",le="+Inf"}`]:
        '0+10x20 212+12x40',
      [`last_logout_event_lag_seconds_bucket{${PROCESS_A},part="poll",le="60"}`]: '0+10x60',
      [`last_logout_event_lag_seconds_bucket{${PROCESS_A},part="poll",le="+Inf"}`]: '0+10x60',
    },
    fires: { '20m': [], '45m': [`${JOB},part="auth0"`] },
  },
  {
    // Fires until a day after the detection of a gap, except a gap at the first start. The clock of the test begins at
    // 0. This gap was detected 23 hours and 40 minutes earlier, at -85,200 s, so the alert fires until minute 20.
    alert: 'LastLogoutGap',
    series: {
      [`last_logout_newest_gap_detected_timestamp_seconds{${PROCESS_A},reason="retention"}`]:
        '_x10 -85200x20',
      [`last_logout_newest_gap_detected_timestamp_seconds{${PROCESS_A},reason="cold_start"}`]:
        '0x30',
    },
    fires: { '9m': [], '19m': [`${JOB},reason="retention"`], '20m': [] },
  },
  {
    // Fires until a day after the detection of a gap at the first start.
    alert: 'LastLogoutColdStartGap',
    series: {
      [`last_logout_newest_gap_detected_timestamp_seconds{${PROCESS_A},reason="cold_start"}`]:
        '_x10 -85200x20',
      [`last_logout_newest_gap_detected_timestamp_seconds{${PROCESS_A},reason="retention"}`]:
        '0x30',
    },
    fires: { '9m': [], '19m': [JOB], '20m': [] },
  },
  {
    // Fires if the last reconcile is more than 3,600 s old.
    alert: 'LastLogoutReconcileOverdue',
    series: { [`last_logout_last_reconcile_age_seconds{${PROCESS_A}}`]: '3600x10 3601x10' },
    fires: { '10m': [], '11m': [JOB] },
  },
  {
    // Fires if reconciles have found more than 10 rows that polls had missed, in an hour.
    alert: 'LastLogoutPollingMisses',
    series: {
      // Both processes report the same rows. The six rows of the first increase must not count as twelve.
      [`last_logout_reconciled_rows_total{${PROCESS_A}}`]: '0x30 6x90 6+1x60',
      [`last_logout_reconciled_rows_total{${PROCESS_B}}`]: '0x30 6x90 6+1x60',
    },
    fires: { '60m': [], '120m': [], '150m': [JOB] },
  },
  {
    // Fires if the number of unusable entries has risen in the last hour. Entries without a user and a session do not
    // count.
    alert: 'LastLogoutUnreadableEntries',
    series: {
      // At minute 61, the first entry is deleted, because it is older than RETAIN_DAYS. Another one follows at minute 122.
      [`last_logout_unattributable_entries{${PROCESS_A},reason="malformed"}`]: '1x60 0x60 1x60',
      [`last_logout_unattributable_entries{${PROCESS_A},reason="no_subject"}`]: '0+1x180',
    },
    fires: { '60m': [], '90m': [], '125m': [`${JOB},reason="malformed"`] },
  },
  {
    // Fires if more than 100 entries without a user and a session have been stored in an hour.
    alert: 'LastLogoutUnattributable',
    series: {
      [`last_logout_unattributable_entries{${PROCESS_A},reason="no_subject"}`]: '0+1x120 121+3x60',
    },
    fires: { '120m': [], '170m': [JOB] },
  },
  {
    // Fires if a process has been unable to reach the database for 1 minute.
    alert: 'LastLogoutDatabaseDown',
    series: {
      [`last_logout_database_up{${PROCESS_A}}`]: '1x10 0x10',
      [`last_logout_database_up{${PROCESS_B}}`]: '1x20',
    },
    fires: { '10m': [], '11m': [], '12m': [PROCESS_A] },
  },
  {
    // Fires if more than 1% of the requests have failed with a 5xx status, for 5 minutes.
    alert: 'LastLogoutApiErrors',
    series: {
      // At first, one in a hundred requests fails. Later, two in a hundred fail. Health checks do not count.
      [`last_logout_http_request_duration_seconds_count{${PROCESS_A},method="GET",route="/v1/last-logout",status="200"}`]:
        '0+99x30 2970+98x30',
      [`last_logout_http_request_duration_seconds_count{${PROCESS_A},method="GET",route="/v1/last-logout",status="503"}`]:
        '0+1x30 30+2x30',
      [`last_logout_http_request_duration_seconds_count{${PROCESS_A},method="GET",route="/health/ready",status="503"}`]:
        '0+60x60',
    },
    fires: { '29m': [], '45m': [JOB] },
  },
  {
    // Fires if no subscriber has been connected for 5 minutes, although one was within the last hour.
    alert: 'LastLogoutNoFeedClients',
    series: {
      [`last_logout_feed_clients{${PROCESS_A}}`]: '3x10 0x100',
      [`last_logout_feed_clients{${PROCESS_B}}`]: '1x10 0x100',
      // The metric of a tenant that never had a subscriber.
      'last_logout_feed_clients{job="last-logout-b",instance="a:8080"}': '0x110',
    },
    fires: { '10m': [], '15m': [], '16m': [JOB], '80m': [] },
  },
  {
    // Fires if more than 20 requests with a wrong key have been refused in 15 minutes.
    alert: 'LastLogoutKeysRefused',
    series: {
      [`last_logout_failed_authentications_total{${PROCESS_A},reason="unknown_key"}`]:
        '0+1x30 30+3x30',
      [`last_logout_failed_authentications_total{${PROCESS_A},reason="no_key"}`]: '0+100x60',
    },
    fires: { '30m': [], '50m': [`${JOB},reason="unknown_key"`] },
  },
]
