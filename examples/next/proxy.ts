import { NextResponse } from 'next/server'
import { authenticate } from './authenticate'

/** Protects all routes of the matcher, such as those that do not call `authenticate`. */
export async function proxy(request: Request) {
  const claims = await authenticate(request)
  return claims instanceof Response ? claims : NextResponse.next()
}

export const config = { matcher: '/reports/:path*' }
