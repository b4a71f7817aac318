"""No name of ours is a private word: each has the word of the field in its place."""

import pytest

from tests.architecture.names import names_below
from tests.architecture.vocabulary import forbidden

ROOMS = (
    "meeting_core",
    "meeting_service",
    "tests",
    "bench",
    "docs",
    "run.py",
)


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_is_a_private_word(room: str):
    found = [problem for name in names_below(room) for problem in forbidden(name)]
    assert not found, "\n".join(found)
