import { expect, onTestFinished, test } from 'vitest'
import { runCommand } from '../_support/cli.js'
import { openCookieBrowser } from '../_support/cookie-browser.js'
import { copyExample } from '../_support/examples.js'
import { WAIT } from '../_support/wait.js'

test('the variables that demo prints run the example for cookie sessions, and a logout at the tenant ends its session', async () => {
  const demo = runCommand(['demo'])
  onTestFinished(async () => {
    demo.kill('SIGINT')
    await demo.exited
  })
  await expect.poll(() => demo.stdout(), WAIT).toContain('Press Ctrl-C to stop the demo.')
  const printedVariables = /^ {2}(PORT=\d+ .*)$/m.exec(demo.stdout())?.[1] ?? ''
  const env = Object.fromEntries(
    printedVariables.split(' ').map((variable) => variable.split(/=(.*)/s).slice(0, 2)),
  )
  const example = await copyExample('express-openid-connect', 'deny')
  onTestFinished(example.remove)
  const app = await example.start(env)
  onTestFinished(app.close)

  const browser = openCookieBrowser('auth0|demo-user-1')
  expect(await (await browser.visit(app.url)).text()).toBe('Orders of auth0|demo-user-1')
  expect((await browser.request(app.url)).status).toBe(200)
  await browser.visit(`${env.ISSUER_BASE_URL}oidc/logout?client_id=${env.CLIENT_ID}`)
  await expect.poll(async () => (await browser.request(app.url)).status, WAIT).toBe(302)
  expect(await (await browser.visit(app.url)).text()).toBe('Orders of auth0|demo-user-1')
})
