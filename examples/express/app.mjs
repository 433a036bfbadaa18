import express from 'express'
import { auth } from 'express-oauth2-jwt-bearer'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout } from 'last-logout-client/express'

const { ISSUER_BASE_URL, AUDIENCE, LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY, PORT } = process.env
const [url, apiKey] = [LAST_LOGOUT_URL, LAST_LOGOUT_API_KEY]
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

const app = express()
app.use(auth({ issuerBaseURL: ISSUER_BASE_URL, audience: AUDIENCE }), lastLogout(client))
app.get('/orders', (req, res) => res.json({ user: req.auth.payload.sub }))

const server = app.listen(PORT, '127.0.0.1', (error) => {
  if (error) throw error
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
