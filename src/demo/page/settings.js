/** The addresses and the id of the application, as the demo has chosen them. */
export const settings = await (await fetch('settings.json')).json()
