import { expect, test } from 'vitest'
import { createPause } from '../../../src/auth0/rate/pause.js'

test('a second pause does not shorten the first pause', () => {
  const pause = createPause()
  pause.begin(30_000)
  const endsAt = pause.endsAt()
  pause.begin(1_000)
  expect(pause.endsAt()).toBe(endsAt)
})
