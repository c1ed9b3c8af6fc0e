"""One network for all tests of this folder that run in one process."""

from collections.abc import Iterator

import pytest

from tests.integration.api.street import Street, open_street


@pytest.fixture(scope="package")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with open_street(tmp_path_factory.mktemp("street") / "net") as opened:
        yield opened
