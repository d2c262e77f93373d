/**
 * The acme broker: `node main.ts --port 7450 --data folder [--password secret]`. It prints `listening host:port`.
 *
 * A connection sends requests, a line of JSON each, with a number `id` and what to `do`, and is answered by lines
 * with that number as `re`, and an `error` where the answer is no. Deliveries and alarms come as lines with an `event`.
 * Nothing is answered, and nothing delivered, before what it says is on the disk.
 */
import { createServer, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { Desk, Refusal, type Request, type Session } from './desk.ts'
import { Journal } from './journal.ts'
import { type Change, Store } from './store.ts'

// Does not outlive who started it with a channel to talk, though that may have ended by now.
process.once('disconnect', () => process.exit())
if (process.connected === false) process.exit()

const { values } = parseArgs({
  options: { port: { type: 'string' }, data: { type: 'string' }, password: { type: 'string' } },
})
const { port = '7450', data = 'acme-data', password } = values

/** The longest line, in characters. */
const MOST_LINE = 64 * 2 ** 20

const store = new Store()
const journal = await Journal.open<Change>(data, (record) => store.apply(record))
const desk = new Desk(store, journal, password)

function serve(socket: Socket): void {
  let rest = ''
  let corked = false
  const session: Session = {
    greeted: false,
    consumers: new Map(),
    send: (line) => void journal.written().then(() => write(`${JSON.stringify(line)}\n`)),
  }

  /** All of one turn goes out together. */
  function write(text: string): void {
    if (!corked) {
      corked = true
      socket.cork()
      setImmediate(() => {
        corked = false
        socket.uncork()
      })
    }
    socket.write(text)
  }

  function answer(line: string): void {
    const request = JSON.parse(line) as Request
    try {
      session.send({ re: request.id, ...desk.handle(session, request) })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      session.send({ re: request.id, error: error.message })
    }
  }

  socket.setEncoding('utf8').setNoDelay(true)
  socket.on('data', (chunk: string) => {
    const lines = chunk.split('\n')
    lines[0] = rest + lines[0]
    rest = lines.pop() as string
    try {
      if (rest.length > MOST_LINE) throw new Error('a line without end')
      for (const line of lines) answer(line)
    } catch {
      // Not a client of ours.
      socket.destroy()
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => desk.leave(session))
}

const server = createServer(serve)
server.listen(Number(port), '127.0.0.1', () => console.log(`listening 127.0.0.1:${port}`))
server.on('error', (error) => {
  console.error(error.message)
  process.exit(1)
})
