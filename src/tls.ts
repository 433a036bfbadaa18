/** Node's error codes for a server that does not speak TLS, or only TLS versions that Node does not support. */
const HANDSHAKE_CODE = /^(ERR_SSL|EPROTO$)/

/** Node's error codes for a certificate that is untrusted or belongs to another host. */
const CERTIFICATE_CODE =
  /^(ERR_TLS_CERT|CERT_|HOSTNAME_MISMATCH$|INVALID_CA$|\w*(SELF_SIGNED|UNABLE_TO|ISSUER_CERT|ALTNAME))/

/**
 * Describes a TLS failure that a retry cannot resolve.
 *
 * @param code The `code` of Node's error.
 * @returns `null` if `code` is not the code of a TLS failure.
 */
export function describeTlsFailure(code: unknown): string | null {
  if (HANDSHAKE_CODE.test(String(code))) return 'TLS handshake failed'
  return CERTIFICATE_CODE.test(String(code)) ? 'TLS certificate verification failed' : null
}
