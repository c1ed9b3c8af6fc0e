"""A real MQTT broker as a process: `python -m tests.meter.sources.broker_process PORT [CERTIFICATE KEY]`.

Says a line when it listens. It ends when its standard input does, so that it outlives nobody.
"""

import asyncio
import logging
import sys

from amqtt.broker import Broker

HOST = "127.0.0.1"


async def main(port: int, files: list[str]) -> None:
    logging.disable()
    sealed = {"ssl": True, "certfile": files[0], "keyfile": files[1]} if files else {}
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}", **sealed}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
