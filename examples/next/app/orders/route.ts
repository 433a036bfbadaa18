import { authenticate } from '../../authenticate'

export async function GET(request: Request) {
  const claims = await authenticate(request)
  if (claims instanceof Response) return claims
  return Response.json({ user: claims.sub })
}
