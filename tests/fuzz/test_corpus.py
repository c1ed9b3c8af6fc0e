"""What was found once is tried for ever: every committed input of every target, and the order of the folder."""

import pytest

from tests.fuzz.corpus import CORPUS, FILE_BYTES_MAX, FILES_MAX, compute_name, read_corpus
from tests.fuzz.targets import TARGETS, run

ALL = pytest.mark.parametrize("name", TARGETS)


@ALL
def test_every_input_that_was_kept_is_refused_by_name_or_has_one_form(name: str) -> None:
    inputs = list(read_corpus(name))
    assert inputs
    for _, data in inputs:
        run(TARGETS[name], data)


@ALL
def test_the_corpus_of_a_target_is_small_and_each_input_has_the_name_of_its_hash(name: str) -> None:
    inputs = list(read_corpus(name))
    assert len(inputs) <= FILES_MAX
    assert all(len(data) <= FILE_BYTES_MAX for _, data in inputs)
    assert [found for found, data in inputs if found != compute_name(data)] == []


def test_no_corpus_is_of_a_target_that_is_gone() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
