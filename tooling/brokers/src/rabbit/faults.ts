import { call, ctl, type Site } from './site.ts'

/** Trouble that a RabbitMQ makes by itself, or that whoever runs it makes. */
export interface RabbitFaults {
  /** The memory alarm: whoever publishes is blocked. */
  alarm(): Promise<void>
  clearAlarm(): Promise<void>
  /** Every connection, as an administrator closes them: 320, `reason`. */
  closeConnections(reason?: string): Promise<void>
  deleteQueue(name: string): Promise<void>
  /** From the next connection on, the user is refused: 403. Those that are open stay so. */
  refuseUser(name?: string): Promise<void>
  /** With the password that it had: its own name. */
  allowUser(name?: string): Promise<void>
  /** Takes from a user, also on connections that are open, the right to everything: 403 on the channel. */
  revoke(name?: string): Promise<void>
  grant(name?: string): Promise<void>
  /** An administrator's policy for the queues whose names match: `{ 'max-length': 1 }`. */
  policy(name: string, pattern: string, definition: Readonly<Record<string, unknown>>): Promise<void>
  clearPolicy(name: string): Promise<void>
}

/** What the memory may take, of what the machine has. */
export const WATERMARK = 0.4

/** Against whichever node of the site runs. */
export function rabbitFaults(site: Site, node: () => string): RabbitFaults {
  async function run(...args: string[]): Promise<void> {
    await ctl(site, node(), args)
  }

  async function watermark(share: number): Promise<void> {
    await call(site, node(), 'vm_memory_monitor', 'set_vm_memory_high_watermark', `[${share}]`)
  }

  return {
    alarm: () => watermark(0.000_01),
    clearAlarm: () => watermark(WATERMARK),
    closeConnections: (reason = 'closed by an administrator') => run('close_all_connections', reason),
    deleteQueue: (name) => run('delete_queue', name),
    refuseUser: (name = 'guest') => run('change_password', name, `not the one of ${name}`),
    allowUser: (name = 'guest') => run('change_password', name, name),
    revoke: (name = 'guest') => run('clear_permissions', name),
    grant: (name = 'guest') => run('set_permissions', name, '.*', '.*', '.*'),
    policy: (name, pattern, definition) =>
      run('set_policy', '--apply-to', 'queues', name, pattern, JSON.stringify(definition)),
    clearPolicy: (name) => run('clear_policy', name),
  }
}
