import express from 'express'
import { auth } from 'express-openid-connect'
import { createLastLogoutClient } from 'last-logout-client'
import { endDeniedSessions, endLoggedOutSessions } from 'last-logout-client/express-openid-connect'

const { LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

const app = express()
// ISSUER_BASE_URL, BASE_URL, CLIENT_ID, CLIENT_SECRET and SECRET configure the library as well.
app.use(
  auth({
    authorizationParams: { response_type: 'code', scope: 'openid offline_access' },
    backchannelLogout: endLoggedOutSessions(client),
  }),
)
app.get('/', (req, res) => res.send(`Orders of ${req.oidc.user.sub}`))
app.get('/orders', async (req, res) => {
  let { accessToken } = req.oidc
  if (accessToken.isExpired()) accessToken = await accessToken.refresh()
  res.json({ expiresIn: accessToken.expires_in })
})
app.use(endDeniedSessions())

const server = app.listen(PORT, '127.0.0.1', (error) => {
  if (error) throw error
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
