"""Commits blocks until it is killed, and says each height when it is durable: python -m ... DIRECTORY."""

import sys
from pathlib import Path

from node.storage.chain import ChainStore
from node.storage.leveldb import open_leveldb
from tests.node.storage.chains import commit, init


def run(path: Path) -> None:
    with open_leveldb(path) as store:
        chain = ChainStore(store)
        if chain.get_genesis() is None:
            init(chain)
        while True:
            height = chain.get_height() + 1
            commit(chain, height)
            sys.stdout.write(f"{height}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
