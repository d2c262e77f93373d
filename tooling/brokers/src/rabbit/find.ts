import { connect } from 'amqplib'

/** The version of the RabbitMQ behind a URL, with the user that it names. Rejects if there is none. */
export async function versionAt(url: string): Promise<string> {
  const connection = await connect(url, { timeout: 5_000 })
  // What is not listened to is thrown.
  connection.on('error', () => {})
  const { version } = connection.connection.serverProperties
  await connection.close()
  return version
}
