import { Controller, Get, Injectable, Module, Req } from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import { AuthGuard, PassportStrategy } from '@nestjs/passport'
import { passportJwtSecret } from 'jwks-rsa'
import { createLastLogoutClient } from 'last-logout-client'
import { LAST_LOGOUT_CLIENT, LastLogoutGuard } from 'last-logout-client/nestjs'
import { ExtractJwt, Strategy } from 'passport-jwt'

const { ISSUER_BASE_URL, AUDIENCE, PORT = '3000' } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const { LAST_LOGOUT_URL: url = '', LAST_LOGOUT_API_KEY: apiKey = '' } = process.env
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

@Injectable()
class AccessTokenStrategy extends PassportStrategy(Strategy) {
  constructor() {
    super({
      secretOrKeyProvider: passportJwtSecret({
        jwksUri: new URL('/.well-known/jwks.json', ISSUER_BASE_URL).href,
        cache: true,
        // Without it, each token with an unknown key id would cause a request.
        rateLimit: true,
      }),
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      issuer: new URL('/', ISSUER_BASE_URL).href,
      audience: AUDIENCE,
      algorithms: ['RS256'],
    })
  }

  /** Returns the claims unchanged. They become `request.user`, which the guard of last-logout checks. */
  validate(claims: object) {
    return claims
  }
}

@Controller()
class OrdersController {
  @Get('orders')
  list(@Req() request: { user: { sub: string } }) {
    return { user: request.user.sub }
  }
}

@Module({
  controllers: [OrdersController],
  providers: [
    AccessTokenStrategy,
    { provide: LAST_LOGOUT_CLIENT, useValue: client },
    // The order matters: the first guard verifies the token, the second checks it.
    { provide: APP_GUARD, useClass: AuthGuard('jwt') },
    { provide: APP_GUARD, useClass: LastLogoutGuard },
  ],
})
class AppModule {}

async function bootstrap() {
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })
  await app.listen(PORT, '127.0.0.1')
  console.log(`listening on ${await app.getUrl()}`)
}
bootstrap()
