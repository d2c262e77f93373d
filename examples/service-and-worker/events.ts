/** What the service tells, and the worker hears: each event type and its payload. */
export interface Events {
  'instance.requested': Instance
  'instance.deleted': { name: string }
  'quota.exceeded': Instance & { quota_mb: number }
}

export interface Instance {
  name: string
  image: string
  memory_mb: number
}
