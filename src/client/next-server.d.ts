// The parts of Next.js that the client uses. Next.js takes 300 MB, so it is no dependency of this repository.
// The example `nextjs-auth0` is compiled with the types of Next.js itself.

declare module 'next/server.js' {
  export class NextRequest extends Request {
    get cookies(): {
      getAll(): { name: string }[]
      delete(names: string[]): unknown
    }
    get nextUrl(): { pathname: string }
  }

  export class NextResponse extends Response {
    get cookies(): {
      has(name: string): boolean
      set(name: string, value: string, options: object): unknown
    }
    static json(body: unknown, init: ResponseInit): NextResponse
    static next(init: { request: { headers: Headers } }): NextResponse
  }
}
