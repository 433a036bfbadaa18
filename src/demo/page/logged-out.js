import { LOGOUT_CHANNEL } from './login.js'

new BroadcastChannel(LOGOUT_CHANNEL).postMessage('logged out')
close()
