/** `proxy.ts` protects this route. */
export function GET() {
  return Response.json({ reports: [] })
}
