/** Codes of Node for a server that does not speak TLS, or no common version of it. */
const HANDSHAKE_CODE = /^(ERR_SSL|EPROTO$)/

/** Codes of Node for a certificate that is not trusted, or not that of the host. */
const CERTIFICATE_CODE =
  /^(ERR_TLS_CERT|CERT_|HOSTNAME_MISMATCH$|INVALID_CA$|\w*(SELF_SIGNED|UNABLE_TO|ISSUER_CERT|ALTNAME))/

/**
 * Describes a failure of TLS that a retry does not resolve.
 *
 * @param code Code of Node's error.
 * @returns `null` for any other code.
 */
export function describeTlsFailure(code: unknown): string | null {
  if (HANDSHAKE_CODE.test(String(code))) return 'TLS handshake failed'
  return CERTIFICATE_CODE.test(String(code)) ? 'TLS certificate verification failed' : null
}
