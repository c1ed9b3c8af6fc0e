"""A real MQTT broker as a process: `python -m tests.meter.sources.broker_process PORT`, until it is killed.

Says a line when it listens. It ends when its standard input does, so that it outlives nobody.
"""

import asyncio
import logging
import sys

from amqtt.broker import Broker

HOST = "127.0.0.1"


async def main(port: int) -> None:
    logging.disable()
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
