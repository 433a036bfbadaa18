import { LOGOUT_CHANNEL } from './login.js'

new BroadcastChannel(LOGOUT_CHANNEL).postMessage(new URLSearchParams(location.search).get('state'))
close()
