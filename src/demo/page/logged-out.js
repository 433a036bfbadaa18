import { LOGOUT_MESSAGE } from './login.js'

opener?.postMessage(LOGOUT_MESSAGE, location.origin)
close()
