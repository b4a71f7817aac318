"""Counters of tokens: the core's estimate, or a true vocabulary that is already on this machine."""

import os
import re
from base64 import b64decode
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha1, sha256
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias, assert_never

from msgspec import Struct

from meeting_core import TokenCounter, estimate_tokens

CounterKind: TypeAlias = Literal["estimate", "tiktoken"]

MAX_RUN = 256
"""Characters without white space, or white space alone, that are counted in one piece."""

_CACHE_DIR = "TIKTOKEN_CACHE_DIR"
_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_CUT = re.compile(rf"\S{{{MAX_RUN}}}(?=\S)|\s{{{MAX_RUN}}}(?=\s)")


class Vocabulary(Struct, frozen=True):
    """What is known of a vocabulary besides its file.

    Units: `digest` is the SHA-256 of the file. Source: tiktoken, `openai_public.py`.
    """

    digest: str
    pattern: str


VOCABULARIES = {
    "cl100k_base": Vocabulary(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
    "o200k_base": Vocabulary(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}


def open_counter(kind: CounterKind, vocabulary: str = "o200k_base") -> TokenCounter:
    """Return a counter; the network is never used.

    Raises: `ValueError`, in one line that says what to do, when `tiktoken` or the vocabulary's file
    is missing.
    """
    match kind:
        case "estimate":
            return estimate_tokens
        case "tiktoken":
            return _exact_counter(vocabulary)
        case _:
            assert_never(kind)


def _exact_counter(name: str) -> TokenCounter:
    try:
        from tiktoken import Encoding
    except ImportError:
        raise ValueError(
            "exact token counts need tiktoken: pip install 'ai-meetings[tokens]'"
        ) from None
    vocabulary = VOCABULARIES.get(name)
    if vocabulary is None:
        raise ValueError(f"no vocabulary {name!r}; known are: {', '.join(sorted(VOCABULARIES))}")
    # Not `tiktoken.get_encoding`, which downloads a file that is missing or damaged.
    encoding = Encoding(
        name,
        pat_str=vocabulary.pattern,
        mergeable_ranks=_read_ranks(_file_of(name), vocabulary.digest),
        special_tokens={},
    )

    @lru_cache(maxsize=2048)
    def count(text: str, /) -> int:
        return sum(len(encoding.encode_ordinary(part)) for part in _parts(text))

    return count


def _file_of(name: str) -> Path:
    folder = os.environ.get(_CACHE_DIR, "")
    if not folder:
        raise ValueError(
            f"exact token counts need {_CACHE_DIR}: set it to a folder that holds {name}.tiktoken"
        )
    source = _SOURCE.format(name)
    # The name under which tiktoken keeps what it has downloaded.
    cached = sha1(source.encode(), usedforsecurity=False).hexdigest()
    for path in (Path(folder, cached), Path(folder, f"{name}.tiktoken")):
        if path.is_file():
            return path
    raise ValueError(f"{_CACHE_DIR}={folder} lacks {name}.tiktoken: put it there, from {source}")


def _read_ranks(path: Path, digest: str) -> dict[bytes, int]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if sha256(data).hexdigest() != digest:
        raise ValueError(f"{path} is damaged or another vocabulary: replace it")
    lines = (line.split() for line in data.splitlines() if line)
    return {b64decode(token): int(rank) for token, rank in lines}


def _parts(text: str) -> Iterator[str]:
    """Cut runs that are longer than any word: merging takes more than linear time in their length.

    Invariant: the parts joined are the text.
    """
    cuts = (0, *(match.end() for match in _CUT.finditer(text)), len(text))
    return (text[start:end] for start, end in pairwise(cuts))
