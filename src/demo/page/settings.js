/** The addresses and the client id that the demo has chosen. */
export const settings = await (await fetch('settings.json')).json()
