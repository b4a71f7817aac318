"""Counting by a vocabulary that is on this machine: exact, bounded in time, never downloaded."""

import socket
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_core import estimate_tokens
from meeting_service import token_counters
from meeting_service.token_counters import MAX_RUN, VOCABULARIES, Vocabulary, open_counter

MERGES = [b"th", b"the", b" the", b"aa", b"aaaa"]
TINY = b"".join(
    b64encode(token) + b" %d\n" % rank
    for rank, token in enumerate([*(bytes([byte]) for byte in range(256)), *MERGES])
)
PATTERN = VOCABULARIES["cl100k_base"].pattern


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    tiny = Vocabulary(sha256(TINY).hexdigest(), PATTERN)
    monkeypatch.setitem(token_counters.VOCABULARIES, "tiny", tiny)
    return tmp_path


def test_the_estimate_needs_nothing():
    assert open_counter("estimate") is estimate_tokens


@pytest.mark.parametrize(
    # The second is tiktoken's own name for what it keeps: the SHA-1 of where it comes from.
    "name",
    ["tiny.tiktoken", "1730a8b50a9a2034930d89ddf1712c45f346a3fb"],
)
def test_a_text_is_counted_by_the_vocabulary(folder: Path, name: str):
    (folder / name).write_bytes(TINY)
    count = open_counter("tiktoken", "tiny")
    assert [count(text) for text in ("", "the", "the the", "thx", "\u4f1a")] == [0, 1, 2, 2, 3]


def test_a_huge_word_is_counted_in_parts(folder: Path):
    (folder / "tiny.tiktoken").write_bytes(TINY)
    count = open_counter("tiktoken", "tiny")
    assert count("a" * 50_000) == 12_500
    assert count(" " * 50_000) == 50_000


@given(st.text("ab \n", min_size=1).map(lambda text: text * 300))
def test_parts_are_short_and_make_up_the_text(text: str):
    parts = list(token_counters._parts(text))
    assert "".join(parts) == text
    runs = [run for part in parts for run in part.split()]
    assert max(map(len, runs), default=0) <= MAX_RUN


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_a_missing_file_is_told_with_where_it_comes_from(folder: Path, name: str):
    with pytest.raises(ValueError, match=rf"^TIKTOKEN_CACHE_DIR=.* lacks {name}.tiktoken: put .*$"):
        open_counter("tiktoken", name)


def test_a_missing_folder_is_told(monkeypatch):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    with pytest.raises(ValueError, match=r"^exact token counts need TIKTOKEN_CACHE_DIR: set .*$"):
        open_counter("tiktoken")


def test_a_damaged_file_is_told_and_left_alone(folder: Path):
    path = folder / "tiny.tiktoken"
    path.write_bytes(TINY[:-9])
    with pytest.raises(ValueError, match=r"^.*tiny.tiktoken is damaged .*$"):
        open_counter("tiktoken", "tiny")
    assert path.read_bytes() == TINY[:-9]


def test_an_unknown_vocabulary_is_told_with_the_known_ones(folder: Path):
    with pytest.raises(ValueError, match=r"^no vocabulary 'x'; known are: cl100k_base, o200k_base"):
        open_counter("tiktoken", "x")


def test_without_the_extra_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ValueError, match=r"pip install 'ai-meetings\[tokens\]'$"):
        open_counter("tiktoken")
