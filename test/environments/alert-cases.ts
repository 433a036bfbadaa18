/** A test case of an alert: the values of some time series, and the times at which the alert fires. */
export interface AlertCase {
  alert: string
  /**
   * The values of each series, one per minute, in the notation of `promtool test rules`: `1+2x3` is 1, 3, 5 and 7;
   * `1x3` is 1 four times; `_x3` is no value for three minutes.
   */
  series: Record<string, string>
  /**
   * For each time of the test, such as `10m`, the labels of the firing alerts, without the severity. An empty list: the
   * alert does not fire.
   */
  fires: Record<string, string[]>
}

const JOB = 'job="last-logout"'
/** The labels of two processes. */
const LABELS_A = `${JOB},instance="a:8080"`
const LABELS_B = `${JOB},instance="b:8080"`
/** The labels of an alert that fires once for all processes. */
const JOB_LABELS = [JOB]

/**
 * Test cases for every alert of docs/alerts.yml. The values at which an alert does not fire yet are at its threshold.
 * `test/environments/alerts.test.ts` runs the cases with Prometheus. `test/metrics/documents.test.ts` compares the
 * series with the series that a service exposes.
 */
export const ALERT_CASES: AlertCase[] = [
  {
    alert: 'LastLogoutNotScraped',
    series: {
      [`up{${LABELS_A}}`]: '1x10 0x20',
      [`last_logout_database_up{${LABELS_A}}`]: '1x10 stale',
      // Another tenant has two processes, and Prometheus reaches one of them. So the alert does not fire for this
      // tenant.
      'up{job="last-logout-b",instance="a:8080"}': '1x30',
      'up{job="last-logout-b",instance="b:8080"}': '0x30',
      'last_logout_database_up{job="last-logout-b",instance="a:8080"}': '1x30',
    },
    fires: { '10m': [], '15m': [], '16m': JOB_LABELS },
  },
  {
    // Prometheus has no target of last-logout at all.
    alert: 'LastLogoutNotScraped',
    series: { 'up{job="node",instance="a:9100"}': '1x10' },
    fires: { '4m': [], '6m': [''] },
  },
  {
    alert: 'LastLogoutTargetDown',
    series: { [`up{${LABELS_A}}`]: '1x10 0x20', [`up{${LABELS_B}}`]: '1x30' },
    fires: { '15m': [], '16m': [LABELS_A] },
  },
  {
    alert: 'LastLogoutStale',
    series: {
      [`last_logout_freshness_lag_seconds{${LABELS_A}}`]: '60x10 61x10',
      [`last_logout_freshness_lag_seconds{${LABELS_B}}`]: '3x20',
    },
    fires: { '10m': [], '11m': [], '12m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutPollOverdue',
    series: { [`last_logout_last_poll_age_seconds{${LABELS_A}}`]: '300x10 301x10' },
    fires: { '10m': [], '11m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutNeverFresh',
    series: {
      [`last_logout_database_up{${LABELS_A}}`]: '1x100',
      [`last_logout_freshness_lag_seconds{${LABELS_A}}`]: '_x70 3x30',
    },
    fires: { '59m': [], '60m': JOB_LABELS, '75m': [] },
  },
  {
    alert: 'LastLogoutPollsFailing',
    series: {
      [`last_logout_job_failures_total{${LABELS_A},task="poll",code="AUTH0_UNAVAILABLE"}`]:
        '0x20 1+1x20',
      // The alert fires neither for one failure within five minutes, nor for failures of another job.
      [`last_logout_job_failures_total{${LABELS_A},task="poll",code="DATABASE_UNAVAILABLE"}`]:
        '0x4 1x4 2x4 3x4 4x4 5x4 6x4',
      [`last_logout_job_failures_total{${LABELS_A},task="reconcile",code="AUTH0_UNAVAILABLE"}`]:
        '0+1x40',
    },
    fires: { '20m': [], '30m': [`${JOB},code="AUTH0_UNAVAILABLE"`] },
  },
  {
    alert: 'LastLogoutStalled',
    series: {
      [`last_logout_job_failures_total{${LABELS_A},task="reconcile",code="STALLED"}`]: '0x10 1x80',
    },
    fires: { '10m': [], '11m': [`${JOB},task="reconcile",code="STALLED"`], '75m': [] },
  },
  {
    alert: 'LastLogoutNoProgress',
    series: {
      [`last_logout_rounds_without_progress_total{${LABELS_A},loop="catch-up"}`]: '0x20 1+1x20',
      [`last_logout_rounds_without_progress_total{${LABELS_A},loop="sweep"}`]: '0x10 2x30',
    },
    fires: { '20m': [], '30m': [`${JOB},loop="catch-up"`] },
  },
  {
    alert: 'LastLogoutCredentialsRefused',
    series: {
      // The series begins with the first failure.
      [`last_logout_job_failures_total{${LABELS_A},task="poll",code="AUTH0_CREDENTIALS"}`]:
        '_x10 1+1x10',
      [`last_logout_job_failures_total{${LABELS_A},task="poll",code="AUTH0_UNAVAILABLE"}`]:
        '0+1x20',
    },
    fires: { '10m': [], '13m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutRateLimited',
    series: {
      [`last_logout_auth0_requests_total{${LABELS_A},status="429"}`]: '0x20 3x20 4+1x20',
      [`last_logout_auth0_requests_total{${LABELS_A},status="200"}`]: '0+12x60',
    },
    fires: { '25m': [], '40m': [], '55m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutEventsLate',
    series: {
      // At first, all events are stored within a minute. Later, only ten of twelve events are.
      [`last_logout_event_lag_seconds_bucket{${LABELS_A},part="auth0",le="60"}`]:
        '0+10x20 210+10x40',
      [`last_logout_event_lag_seconds_bucket{${LABELS_A},part="auth0",le="120"}`]:
        '0+10x20 212+12x40',
      [`last_logout_event_lag_seconds_bucket{${LABELS_A},part="auth0",le="+Inf"}`]:
        '0+10x20 212+12x40',
      [`last_logout_event_lag_seconds_bucket{${LABELS_A},part="poll",le="60"}`]: '0+10x60',
      [`last_logout_event_lag_seconds_bucket{${LABELS_A},part="poll",le="+Inf"}`]: '0+10x60',
    },
    fires: { '20m': [], '45m': [`${JOB},part="auth0"`] },
  },
  {
    // The clock of the test begins at 0. This gap was detected 23 hours and 40 minutes (85,200 s) earlier. The alert
    // fires until a day after the detection.
    alert: 'LastLogoutGap',
    series: {
      [`last_logout_newest_gap_detected_timestamp_seconds{${LABELS_A},reason="retention"}`]:
        '_x10 -85200x20',
      [`last_logout_newest_gap_detected_timestamp_seconds{${LABELS_A},reason="cold_start"}`]:
        '0x30',
    },
    fires: { '9m': [], '19m': [`${JOB},reason="retention"`], '20m': [] },
  },
  {
    alert: 'LastLogoutColdStartGap',
    series: {
      [`last_logout_newest_gap_detected_timestamp_seconds{${LABELS_A},reason="cold_start"}`]:
        '_x10 -85200x20',
      [`last_logout_newest_gap_detected_timestamp_seconds{${LABELS_A},reason="retention"}`]: '0x30',
    },
    fires: { '9m': [], '19m': JOB_LABELS, '20m': [] },
  },
  {
    alert: 'LastLogoutReconcileOverdue',
    series: { [`last_logout_last_reconcile_age_seconds{${LABELS_A}}`]: '3600x10 3601x10' },
    fires: { '10m': [], '11m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutPollingMisses',
    series: {
      // Both processes report the same six rows per hour, which must not count as twelve.
      [`last_logout_reconciled_rows_total{${LABELS_A}}`]: '0x30 6x90 6+1x60',
      [`last_logout_reconciled_rows_total{${LABELS_B}}`]: '0x30 6x90 6+1x60',
    },
    fires: { '60m': [], '120m': [], '150m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutUnreadableEntries',
    series: {
      // The first entry is deleted when it is older than RETAIN_DAYS.
      [`last_logout_unattributable_entries{${LABELS_A},reason="malformed"}`]: '1x60 0x60 1x60',
      [`last_logout_unattributable_entries{${LABELS_A},reason="no_subject"}`]: '0+1x180',
    },
    fires: { '60m': [], '90m': [], '125m': [`${JOB},reason="malformed"`] },
  },
  {
    alert: 'LastLogoutUnattributable',
    series: {
      [`last_logout_unattributable_entries{${LABELS_A},reason="no_subject"}`]: '0+1x120 121+3x60',
    },
    fires: { '120m': [], '170m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutDatabaseDown',
    series: {
      [`last_logout_database_up{${LABELS_A}}`]: '1x10 0x10',
      [`last_logout_database_up{${LABELS_B}}`]: '1x20',
    },
    fires: { '10m': [], '11m': [], '12m': [LABELS_A] },
  },
  {
    alert: 'LastLogoutApiErrors',
    series: {
      // At first, one in a hundred requests fails. Later, two in a hundred fail. Health checks do not count.
      [`last_logout_http_request_duration_seconds_count{${LABELS_A},method="GET",route="/v1/last-logout",status="200"}`]:
        '0+99x30 2970+98x30',
      [`last_logout_http_request_duration_seconds_count{${LABELS_A},method="GET",route="/v1/last-logout",status="503"}`]:
        '0+1x30 30+2x30',
      [`last_logout_http_request_duration_seconds_count{${LABELS_A},method="GET",route="/health/ready",status="503"}`]:
        '0+60x60',
    },
    fires: { '29m': [], '45m': JOB_LABELS },
  },
  {
    alert: 'LastLogoutNoFeedClients',
    series: {
      [`last_logout_feed_clients{${LABELS_A}}`]: '3x10 0x100',
      [`last_logout_feed_clients{${LABELS_B}}`]: '1x10 0x100',
      // The metric of a tenant that never had a subscriber.
      'last_logout_feed_clients{job="last-logout-b",instance="a:8080"}': '0x110',
    },
    fires: { '10m': [], '15m': [], '16m': JOB_LABELS, '80m': [] },
  },
  {
    alert: 'LastLogoutKeysRefused',
    series: {
      [`last_logout_failed_authentications_total{${LABELS_A},reason="unknown_key"}`]:
        '0+1x30 30+3x30',
      [`last_logout_failed_authentications_total{${LABELS_A},reason="no_key"}`]: '0+100x60',
    },
    fires: { '30m': [], '50m': [`${JOB},reason="unknown_key"`] },
  },
]
