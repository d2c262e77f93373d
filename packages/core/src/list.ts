/** What can stand in a {@link List}: it carries its own links, and knows the one list it stands in. */
export interface Linked<T> {
  previous: T | undefined
  next: T | undefined
  list: object | undefined
}

/** A doubly linked list through its own members: adding, removing and counting cost the same at any length. */
export class List<T extends Linked<T>> {
  head: T | undefined
  tail: T | undefined
  size = 0

  append(member: T): void {
    this.after(this.tail, member)
  }

  /** Puts a member behind another one, or first where there is none. */
  after(previous: T | undefined, member: T): void {
    const next = previous === undefined ? this.head : previous.next
    member.previous = previous
    member.next = next
    if (previous === undefined) this.head = member
    else previous.next = member
    if (next === undefined) this.tail = member
    else next.previous = member
    member.list = this
    this.size++
  }

  remove(member: T): void {
    const { previous, next } = member
    if (previous === undefined) this.head = next
    else previous.next = next
    if (next === undefined) this.tail = previous
    else next.previous = previous
    member.previous = undefined
    member.next = undefined
    member.list = undefined
    this.size--
  }
}
