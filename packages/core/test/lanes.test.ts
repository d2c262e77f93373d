import { describe, expect, test } from 'vitest'
import { PRIORITIES, type Priority } from '../src/envelope.ts'
import { type Item, Lanes, type Queue } from '../src/listener/lanes.ts'

class Ticket implements Item<Ticket> {
  previous: Ticket | undefined
  next: Ticket | undefined
  list: object | undefined
  holdsKey = false
  readonly queue: Queue<Ticket>
  readonly name: string
  readonly key: string | undefined
  readonly suspect: boolean

  constructor(
    queue: Queue<Ticket>,
    name: string,
    { key, suspect = false }: { key?: string; suspect?: boolean } = {},
  ) {
    this.queue = queue
    this.name = name
    this.key = key
    this.suspect = suspect
  }
}

const half = () => 0.5

function open(concurrency: number) {
  const lanes = new Lanes<Ticket>(concurrency)
  const queues = Object.fromEntries(
    PRIORITIES.map((priority) => [priority, lanes.queue(priority)]),
  ) as Record<Priority, Queue<Ticket>>
  const add = (
    priority: Priority,
    options?: { key?: string; suspect?: boolean },
    name: string = priority,
  ) => {
    const ticket = new Ticket(queues[priority], name, options)
    lanes.add(ticket)
    return ticket
  }
  const take = (now = 0, settling = 0) => lanes.take(now, half, settling)
  /** Takes, runs and ends `count` of them one by one, and says which. */
  const drain = (count: number, more: (priority: Priority) => void = () => {}) => {
    const names: string[] = []
    for (let index = 0; index < count; index++) {
      const ticket = take()
      if (ticket === undefined) break
      names.push(ticket.name)
      lanes.leave(ticket)
      lanes.free(ticket)
      more(ticket.name as Priority)
    }
    return names
  }
  return { lanes, add, take, drain }
}

const count = (names: readonly string[], name: string) => names.filter((other) => other === name).length

describe('weights', () => {
  test('share the starts of a round by 1, 1, 2, 3, 3, 4 and 6', () => {
    const { add, drain } = open(1)
    for (const priority of PRIORITIES) for (let index = 0; index < 2; index++) add(priority)
    const names = drain(2_000, (priority) => add(priority))
    expect(PRIORITIES.map((priority) => count(names, priority))).toEqual([100, 100, 200, 300, 300, 400, 600])
  })

  test('leave nothing to starve: DEBUG keeps its part beside a flood of CRITICALs', () => {
    const { add, drain } = open(1)
    add('DEBUG')
    add('CRITICAL')
    const names = drain(700, (priority) => add(priority))
    expect(count(names, 'DEBUG')).toBe(100)
  })

  test('take nothing from who is alone', () => {
    const { add, drain } = open(1)
    for (let index = 0; index < 50; index++) add('SAMPLE')
    expect(drain(100)).toHaveLength(50)
  })

  test('let a CRITICAL wait for 14 others at most, whatever lies there', () => {
    for (let before = 0; before < 40; before++) {
      const { add, drain } = open(1)
      for (const priority of PRIORITIES)
        if (priority !== 'CRITICAL') for (let index = 0; index < 100; index++) add(priority)
      drain(before)
      add('CRITICAL')
      expect(drain(15)).toContain('CRITICAL')
    }
  })
})

describe('slots', () => {
  test('are as many as the concurrency', () => {
    const { lanes, add, take } = open(3)
    for (let index = 0; index < 5; index++) add('ERROR')
    const taken = [take(), take(), take()]
    expect(taken).not.toContain(undefined)
    expect(take()).toBeUndefined()
    expect(lanes.running).toBe(3)
    lanes.leave(taken[0] as Ticket)
    expect(take()).toBeDefined()
  })

  test.each([
    [7, 0],
    [8, 1],
    [16, 2],
    [31, 3],
  ])('of %i keep %i for ERROR and CRITICAL', (concurrency, reserved) => {
    const { add, take } = open(concurrency)
    for (let index = 0; index < concurrency; index++) add('WARN')
    let taken = 0
    while (take() !== undefined) taken++
    expect(taken).toBe(concurrency - reserved)
    for (let index = 0; index < concurrency; index++) add(index % 2 === 0 ? 'ERROR' : 'CRITICAL')
    for (let index = 0; index < reserved; index++) expect(['ERROR', 'CRITICAL']).toContain(take()?.name)
    expect(take()).toBeUndefined()
  })

  test('that ERRORs took do not count against the others', () => {
    const { add, take } = open(8)
    add('ERROR')
    expect(take()?.name).toBe('ERROR')
    for (let index = 0; index < 8; index++) add('INFO')
    let taken = 0
    while (take() !== undefined) taken++
    expect(taken).toBe(7)
  })
})

test('destinations of one lane take turns', () => {
  const lanes = new Lanes<Ticket>(100)
  const queues = ['a', 'b', 'c'].map((topic) => ({ topic, queue: lanes.queue('INFO') }))
  for (const { topic, queue } of queues)
    for (let index = 0; index < (topic === 'a' ? 9 : 3); index++) lanes.add(new Ticket(queue, topic))
  const names = Array.from({ length: 15 }, () => lanes.take(0, half, 0)?.name)
  expect(names.slice(0, 9)).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c'])
  expect(names.slice(9)).toEqual(Array.from({ length: 6 }, () => 'a'))
})

describe('a key', () => {
  test('lets one run at a time, in the order of their coming', () => {
    const { lanes, add, take } = open(10)
    const [first, second, third] = ['1', '2', '3'].map((name) => add('INFO', { key: 'k' }, name)) as [
      Ticket,
      Ticket,
      Ticket,
    ]
    expect(take()).toBe(first)
    expect(take()).toBeUndefined()
    lanes.leave(first)
    expect(take(), 'it still holds its key').toBeUndefined()
    lanes.add(first)
    expect(take(), 'and comes again before those who wait for it').toBe(first)
    lanes.leave(first)
    lanes.free(first)
    expect(take()).toBe(second)
    lanes.remove(third)
    lanes.leave(second)
    lanes.free(second)
    expect(take()).toBeUndefined()
    expect(add('INFO', { key: 'k' }).holdsKey, 'nobody holds it any more').toBe(true)
  })

  test('is of its destination alone', () => {
    const { add, take } = open(10)
    add('INFO', { key: 'k' })
    add('WARN', { key: 'k' })
    add('INFO', { key: 'l' })
    add('INFO')
    expect([take(), take(), take(), take()]).not.toContain(undefined)
  })

  test('does not make the others of its destination wait', () => {
    const { lanes, add, take } = open(1)
    for (let index = 0; index < 20; index++) add('INFO', { key: 'hot' }, 'hot')
    add('INFO', {}, 'other')
    const first = take() as Ticket
    lanes.leave(first)
    lanes.free(first)
    expect(take()?.name).toBe('other')
  })
})

describe('a suspect', () => {
  test('waits until nothing runs, and nothing starts beside it', () => {
    const { lanes, add, take } = open(4)
    add('INFO', {}, 'early')
    const early = take() as Ticket
    const suspect = add('DEBUG', { suspect: true }, 'suspect')
    add('CRITICAL')
    expect(take(), 'the slots are emptied first').toBeUndefined()
    lanes.leave(early)
    expect(take()).toBe(suspect)
    expect(take()).toBeUndefined()
    lanes.leave(suspect)
    expect(take()?.name).toBe('CRITICAL')
  })

  test('waits until what has ended is settled, for 5 s at most', () => {
    const { lanes, add, take } = open(4)
    const suspect = add('INFO', { suspect: true })
    add('WARN')
    expect(take(1_000, 1)).toBeUndefined()
    expect(lanes.wakeAt).toBe(6_000)
    expect(take(1_001, 0)).toBe(suspect)
    expect(take(1_002, 1)).toBeUndefined()
    expect(lanes.wakeAt, 'while it runs alone').toBe(31_000)
    lanes.leave(suspect)
    const other = add('INFO', { suspect: true })
    const warning = take(2_000, 1) as Ticket
    expect(warning.name, 'who is no suspect need not wait').toBe('WARN')
    expect(take(2_000, 1)).toBeUndefined()
    expect(take(6_999, 1)).toBeUndefined()
    expect(take(7_000, 1)?.name, 'it still waits for what runs').toBeUndefined()
    expect(lanes.wakeAt).toBe(32_000)
    lanes.leave(warning)
    expect(take(7_001, 1)).toBe(other)
  })

  test('keeps others waiting for 30 s at most, before it starts and while it runs together', () => {
    const { lanes, add, take } = open(4)
    add('INFO', {}, 'hangs')
    take(1_000)
    const suspect = add('INFO', { suspect: true })
    add('WARN')
    expect(take(2_000)).toBeUndefined()
    expect(lanes.wakeAt).toBe(32_000)
    expect(take(31_999)).toBeUndefined()
    expect(take(32_000), 'it starts beside what hangs').toBe(suspect)
    expect(take(32_000)?.name, 'and others beside it').toBe('WARN')
  })

  test('that hangs holds nobody up for longer than 30 s', () => {
    const { lanes, add, take } = open(4)
    const suspect = add('INFO', { suspect: true })
    expect(take(0)).toBe(suspect)
    add('WARN')
    expect(take(29_999)).toBeUndefined()
    expect(lanes.wakeAt).toBe(30_000)
    expect(take(30_000)?.name).toBe('WARN')
    expect(lanes.wakeAt).toBe(Number.POSITIVE_INFINITY)
  })

  test('and the next one leave as many starts in between as there are slots', () => {
    const { add, drain } = open(3)
    for (let index = 0; index < 3; index++) add('INFO', { suspect: true }, 'suspect')
    for (let index = 0; index < 7; index++) add('WARN', {}, 'w')
    expect(drain(20).join(' ')).toBe('suspect w w w suspect w w w suspect w')
  })

  test('is drawn at random, over keys', () => {
    const { lanes, add } = open(2)
    for (let index = 0; index < 8; index++) add('INFO', { suspect: true, key: 'k' }, `k${index}`)
    add('INFO', { suspect: true, key: 'l' }, 'l')
    add('DEBUG', { suspect: true }, 'm')
    const draws = [0.99, 0.5, 0, 0]
    const names: string[] = []
    for (const draw of draws) {
      const ticket = lanes.take(0, () => draw, 0) as Ticket
      names.push(ticket.name)
      lanes.leave(ticket)
      lanes.free(ticket)
    }
    expect(names).toEqual(['m', 'l', 'k0', 'k1'])
  })

  test('that is taken back is drawn no more, and lets the others go on', () => {
    const { lanes, add, take } = open(2)
    add('INFO', {}, 'runs')
    take()
    const suspect = add('INFO', { suspect: true })
    add('WARN')
    expect(take()).toBeUndefined()
    lanes.remove(suspect)
    expect(take()?.name).toBe('WARN')
    expect(lanes.wakeAt).toBe(Number.POSITIVE_INFINITY)
  })
})

test('what is taken back is not started', () => {
  const { lanes, add, take } = open(2)
  const ticket = add('INFO')
  const other = add('INFO')
  lanes.remove(ticket)
  lanes.remove(ticket)
  expect(take()).toBe(other)
  expect(take()).toBeUndefined()
})
