import {
  Catch,
  Controller,
  Get,
  Module,
  UnauthorizedException,
  UseFilters,
  UseGuards,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { createLastLogoutClient } from 'last-logout-client'
import { LAST_LOGOUT_CLIENT, LAST_LOGOUT_OPTIONS, LastLogoutGuard } from 'last-logout-client/nestjs'

const { LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY: apiKey } = process.env
const open = (url) => createLastLogoutClient({ url, apiKey, lookup: 'request', onUnknown: 'deny' })
const client = open(LAST_LOGOUT_URL)
const guard = new LastLogoutGuard(client)
const optional = new LastLogoutGuard(client, { authRequired: false })

const readClaims = ({ headers }) => headers.claims && JSON.parse(headers.claims)
const getClaims = (context) => readClaims(context.switchToHttp().getRequest())

/** Replaces the guard that verifies the token. Like Passport, sets `user` to `false` if no user is authenticated. */
class ClaimsGuard {
  canActivate(context) {
    const request = context.switchToHttp().getRequest()
    request.user = readClaims(request) ?? false
    return true
  }
}

@Catch(UnauthorizedException)
class CauseFilter {
  catch({ cause }, host) {
    const response = host.switchToHttp().getResponse()
    response.status(418).send({ code: cause.code, headers: cause.headers })
  }
}

@Controller()
class Routes {
  @Get('instance')
  @UseGuards(ClaimsGuard, guard)
  instance() {
    return {}
  }

  @Get('injected')
  @UseGuards(ClaimsGuard, LastLogoutGuard)
  injected() {
    return {}
  }

  @Get('unreachable')
  @UseGuards(ClaimsGuard, new LastLogoutGuard(open('http://127.0.0.1:1')))
  unreachable() {
    return {}
  }

  @Get('filtered')
  @UseFilters(CauseFilter)
  @UseGuards(ClaimsGuard, guard)
  filtered() {
    return {}
  }

  @Get('own-claims')
  @UseGuards(new LastLogoutGuard(client, { getClaims }))
  ownClaims() {
    return {}
  }

  @Get('optional')
  @UseGuards(ClaimsGuard, optional)
  optional() {
    return {}
  }

  /** Calls the guard like GraphQL: none of the arguments is an HTTP request. */
  @Get('graphql')
  async graphql() {
    const context = new ExecutionContextHost([undefined, {}, { user: { sub: 'auth0|in' } }])
    context.setType('graphql')
    const outcome = await optional.canActivate(context).catch(({ name }) => name)
    return { outcome }
  }
}

const providers = [{ provide: LAST_LOGOUT_CLIENT, useValue: client }]

@Module({ controllers: [Routes], providers })
class WithDefaults {}

@Module({
  controllers: [Routes],
  providers: [...providers, { provide: LAST_LOGOUT_OPTIONS, useValue: { authRequired: false } }],
})
class WithOptions {}

async function serve(module, adapter) {
  const app = await NestFactory.create(module, adapter, { logger: false })
  await app.listen(0, '127.0.0.1')
  return app.getUrl()
}

const urls = {
  express: await serve(WithDefaults, new ExpressAdapter()),
  fastify: await serve(WithDefaults, new FastifyAdapter()),
  withOptions: await serve(WithOptions, new FastifyAdapter()),
}
process.stdout.write(`${JSON.stringify(urls)}\n`)
