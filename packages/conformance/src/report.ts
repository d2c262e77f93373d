export interface Report {
  readonly x: 1
}
export function report(): Report {
  return { x: 1 }
}
export function toMarkdown(): string {
  return ''
}
