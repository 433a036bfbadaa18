import { auth0 } from '../auth0'

export default async function Page() {
  const session = await auth0.getSession()
  if (session === null) return <a href="/auth/login">Log in</a>
  return (
    <p>
      Orders of {session.user.sub} <a href="/auth/logout">Log out</a>
    </p>
  )
}
