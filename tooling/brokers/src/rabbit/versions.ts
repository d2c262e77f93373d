import { readdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { BrokerUnavailable } from '../broker.ts'
import { cached, cacheFolder, isCached } from '../cache.ts'
import { command } from '../command.ts'
import { lacking, patch, unpack, wrapPrograms } from '../debian.ts'

/** Of which release of Debian a version is. The last one moves: it is what is newest there. */
const SUITES = { '4.0': 'trixie', '3.10': 'bookworm', '4.3': 'sid' } as const

export type RabbitVersion = keyof typeof SUITES

const KNOWN = Object.keys(SUITES).join(', ')

/** The one that is always there: where the moving one cannot be had, it takes its place. */
const STEADY: RabbitVersion = '4.0'

/** The one that is meant where none is named. */
export function defaultVersion(): RabbitVersion {
  const named = process.env.NOTIFY_RABBIT_VERSION || STEADY
  if (!Object.hasOwn(SUITES, named)) throw new Error(`NOTIFY_RABBIT_VERSION: ${named}, expected ${KNOWN}`)
  return named as RabbitVersion
}

const REMEDY =
  'Set NOTIFY_RABBIT_URL to one that runs, or have apt-get and dpkg and a Debian mirror in reach, once'

/** What is needed to run it. Debian's other dependencies are for a service of the system. */
const LIBRARIES = new Set(
  'libc6 libgcc-s1 libstdc++6 libtinfo6 zlib1g libssl3 libssl3t64 libsystemd0 libcap2 libsctp1 libzstd1'
    .concat(' libgcrypt20 libgpg-error0 liblz4-1 liblzma5')
    .split(' '),
)

/** Where the programs are. */
export interface Installation {
  /** Holds `erl`, `epmd`, `erl_call`. */
  readonly erlang: string
  /** Holds `rabbitmq-server`, `rabbitmqctl`. */
  readonly server: string
}

/** Unpacks it if this was not done before. */
export async function install(version: RabbitVersion = defaultVersion()): Promise<Installation> {
  const name = `rabbitmq-${version}`
  const reason = isCached(name) ? undefined : lacking()
  if (reason !== undefined) throw new BrokerUnavailable('RabbitMQ', reason, REMEDY)
  try {
    return locate(await cached(name, (folder) => make(folder, version)))
  } catch (cause) {
    const reason = shortly(cause)
    if (version !== '4.3') throw new BrokerUnavailable('RabbitMQ', reason, REMEDY, { cause })
    console.error(`RabbitMQ ${STEADY} in place of ${version}: ${reason}`)
    return await install(STEADY)
  }
}

/** The line of all that a program printed that says what is wrong. */
function shortly(error: unknown): string {
  const { message } = error as Error
  return /^E: (.*)$/m.exec(message)?.[1] ?? message
}

async function make(folder: string, version: RabbitVersion): Promise<void> {
  const suite = SUITES[version]
  console.error(`RabbitMQ ${version}: 60 MB from Debian's ${suite} to ${cacheFolder()}, once …`)
  const came = await unpack(folder, {
    suite,
    name: 'rabbitmq-server',
    needs: (name) => name.startsWith('erlang-') || LIBRARIES.has(name),
  })
  const home = join(folder, 'usr/lib/erlang')
  wrapPrograms(home, folder)
  const runtime = readdirSync(home).find((entry) => entry.startsWith('erts-')) ?? 'erts'
  for (const bin of ['bin', `${runtime}/bin`]) patch(join(home, bin, 'erl'), '=/usr/lib/erlang', `=${home}`)
  // What does not even start must not get into the cache.
  const program = 'crypto:start(), io:format("~s", [erlang:system_info(otp_release)]), halt().'
  const otp = await command(join(home, 'bin/erl'), ['-noshell', '-eval', program])
  writeFileSync(join(folder, 'about.json'), JSON.stringify({ package: came, erlang: otp, suite }))
  console.error(`RabbitMQ ${came} on Erlang ${otp}: unpacked`)
}

function locate(folder: string): Installation {
  const home = join(folder, 'usr/lib/rabbitmq/lib')
  const [server] = readdirSync(home).filter((entry) => basename(entry).startsWith('rabbitmq_server-'))
  if (server === undefined) throw new Error(`no server under ${home}`)
  return { erlang: join(folder, 'usr/lib/erlang/bin'), server: join(home, server, 'sbin') }
}
