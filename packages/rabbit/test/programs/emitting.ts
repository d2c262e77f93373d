/** How a test talks with `emitter.ts`, a process that emits through an outage. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { eventually } from '@notify/brokers'
import type { EmitStats } from '@notify/core'
import type { RabbitOptions } from '../../src/index.ts'
import type { Context } from '../support.ts'

export type EmitterOptions = RabbitOptions & { readonly topic: string }

export type Command =
  | { readonly do: 'flood'; readonly count: number }
  | { readonly do: 'confirmed'; readonly since: number }
  | { readonly do: 'statuses' }
  | { readonly do: 'finish' }

/** What is held after a collection of garbage. */
export interface Memory {
  readonly bytes: number
  readonly pending: number
}

/** Instants are milliseconds since 1970, to fractions, comparable between processes. */
export interface Account {
  readonly sums: EmitStats
  /** Whether everything had ended before `close`. */
  readonly flushed: boolean
  /** Of emits that failed. */
  readonly codes: Readonly<Record<string, number>>
  /** By number, which is the message's id as well. */
  readonly confirmed: readonly number[]
  readonly confirmedAt: readonly number[]
  readonly statuses: readonly {
    readonly state: string
    readonly reason: string | undefined
    readonly at: number
  }[]
  /** What must not be, in words. */
  readonly faults: readonly string[]
  readonly closedAt: number
}

export interface Emitter {
  /** Emits so many, 200 in a turn. */
  flood(count: number): Promise<Memory>
  /** When the first confirm came at or after that instant. */
  confirmed(since: number): Promise<number>
  /** When the driver was first told to be so after that instant. */
  told(state: string, since: number): Promise<number>
  /** Ends all, closes, and waits for the process to end by itself. */
  finish(): Promise<Account & { readonly code: number | null; readonly endedAt: number }>
}

export const instant = (): number => performance.timeOrigin + performance.now()

/** Starts one that emits 1,000 in a second, and resolves when the first is confirmed. */
export async function startEmitter(context: Context, options: EmitterOptions): Promise<Emitter> {
  const program = new URL('./emitter.ts', import.meta.url)
  const child = fork(program, [JSON.stringify(options)], { execArgv: ['--expose-gc'] })
  context.onTestFinished(async () => void child.kill('SIGKILL'))
  const exit = once(child, 'exit') as Promise<[number | null]>

  async function ask<T>(command: Command): Promise<T> {
    const answered = once(child, 'message') as Promise<[{ answer: T }]>
    child.send(command)
    const early = exit.then(([code]) => Promise.reject(new Error(`the emitter ended with ${code}`)))
    const [{ answer }] = await Promise.race([answered, early])
    return answer
  }

  const emitter: Emitter = {
    flood: (count) => ask({ do: 'flood', count }),
    confirmed: (since) =>
      eventually(() => ask<number | null>({ do: 'confirmed', since }), {
        withinMs: 30_000,
        what: 'a confirm comes',
      }),
    told: (wanted, since) =>
      eventually(
        async () => {
          const statuses = await ask<Account['statuses']>({ do: 'statuses' })
          return statuses.find(({ state, at }) => state === wanted && at >= since)?.at
        },
        { withinMs: 15_000, what: `${wanted} is told` },
      ),
    async finish() {
      const account = await ask<Account>({ do: 'finish' })
      const [code] = await exit
      return { ...account, code, endedAt: instant() }
    },
  }
  await emitter.confirmed(0)
  return emitter
}
