/** The kinds of temporary files of nginx. Each kind has its own directory. */
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

/** The values in a configuration of nginx that differ between gateways. */
export interface NginxPlaces {
  /** The directory to which nginx writes. */
  directory: string
  port: string
  /** Host and port of last-logout. */
  target: string
  /** Host and port of the API behind nginx. */
  upstream: string
  key: string
  /** More settings of the block `http`. */
  settings?: string
}

/**
 * Creates the configuration of an nginx on the loopback interface.
 *
 * @param shipped The configuration in deploy/gateways, which becomes a part of the result.
 */
export function configureNginx(shipped: string, places: NginxPlaces): string {
  const { directory, port, target, upstream, key, settings = '' } = places
  return `daemon off;
pid ${directory}/pid;
events {}
http {
access_log off;
${TEMPORARY.map((kind) => `${kind}_temp_path ${directory}/${kind};`).join('\n')}
${settings}
${shipped
  .replaceAll('127.0.0.1:3000', upstream)
  .replaceAll('127.0.0.1:8080', target)
  .replaceAll('GATEWAY_KEY', key)
  .replace('listen 8000', `listen 127.0.0.1:${port}`)}
}
`
}

/** Returns the arguments with which nginx uses the configuration `file`, and writes the log to stderr. */
export function nginxArguments(directory: string, file: string): string[] {
  return ['-p', directory, '-c', file, '-e', 'stderr']
}
