import { deleteSession, isDeniedRefresh } from 'last-logout-client/nextjs-auth0'
import { cookies } from 'next/headers'
import { auth0 } from '../../auth0'

/** Gets an access token, as an app does before it calls an API. */
export async function GET() {
  if ((await auth0.getSession()) === null) return refuse()
  try {
    const { expiresAt } = await auth0.getAccessToken()
    return Response.json({ expiresAt })
  } catch (error) {
    if (!isDeniedRefresh(error)) throw error
    deleteSession(await cookies())
    return refuse()
  }
}

const refuse = () => Response.json({ error: 'login_required' }, { status: 401 })
