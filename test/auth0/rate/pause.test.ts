import { expect, test } from 'vitest'
import { createPause } from '../../../src/auth0/rate/pause.js'

test('a second, shorter pause does not end the first pause earlier', () => {
  const pause = createPause()
  pause.begin(30_000)
  const endsAt = pause.endsAt()
  pause.begin(1_000)
  expect(pause.endsAt()).toBe(endsAt)
})
