"""One adapter for each system under load, and each way into it; ``open_adapter`` opens one by its name."""

from contextlib import AbstractAsyncContextManager

from benchmarks.adapters.cometbft import build_kvstore_body, get_body, open_cometbft
from benchmarks.adapters.etcd import open_etcd
from benchmarks.adapters.gridbft import open_gridbft, open_gridbft_stream
from benchmarks.harness.load import Adapter, LoadOrder

NAMES = ("gridbft-batch", "gridbft-single", "gridbft-stream", "cometbft", "cometbft-bytes", "etcd")


def open_adapter(order: LoadOrder) -> AbstractAsyncContextManager[Adapter]:
    """Return what opens the adapter that the order names.

    Raises:
        ValueError: there is none of this name.

    """
    match order.adapter:
        case "gridbft-batch":
            return open_gridbft(order, is_single=False)
        case "gridbft-single":
            return open_gridbft(order, is_single=True)
        case "gridbft-stream":
            return open_gridbft_stream(order)
        case "cometbft":
            return open_cometbft(order, build_kvstore_body)
        case "cometbft-bytes":
            return open_cometbft(order, get_body)
        case "etcd":
            return open_etcd(order)
        case _:
            raise ValueError(f"no adapter {order.adapter!r}; there are {', '.join(NAMES)}")
