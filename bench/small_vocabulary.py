"""Tokens of texts by a small vocabulary: SmolLM2's, of 49,152 words, made from English texts.

Its tokenizer is in no package that this project needs, so its counts are data, by the digest of
each text. With the address of a llama.cpp server that has the model, they are counted anew:

    python bench/small_vocabulary.py http://127.0.0.1:8080
"""

import argparse
import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256

from bench.corpora import FOLDER, corpora

COUNTS = FOLDER / "smollm2.json"
TALK = FOLDER / "talk"
WHOLE = ("chinese", "english", "german", "japanese", "russian")
"""Languages whose text is a corpus of its own; those of the others stand in `corpora/talk`."""

TIMEOUT_SECONDS = 30


def languages() -> dict[str, tuple[str, ...]]:
    """Return 18 languages, each with what was said in it, paragraph by paragraph."""
    texts = {path.stem: path.read_text("utf-8") for path in TALK.glob("*.txt")}
    known = corpora()
    texts |= {name: known[name] for name in WHOLE}
    return {name: tuple(_paragraphs(texts[name])) for name in sorted(texts)}


def small_tokens(text: str) -> int:
    """Return the tokens of a text as they are kept.

    Raises: `KeyError` for a text that was not counted.
    """
    return _kept()[digest_of(text)]


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def counted_texts() -> list[str]:
    """Return every text whose count is kept: the corpora, and what is said in each language."""
    spoken = languages().values()
    return [*corpora().values(), *("\n\n".join(each) for each in spoken), *sum(spoken, ())]


def count_with(count: Callable[[str], int]) -> dict[str, int]:
    """Return the count of every text, by its digest."""
    return {digest_of(text): count(text) for text in counted_texts()}


def server_count(base_url: str) -> Callable[[str], int]:
    """Return a function that has a llama.cpp server count the tokens of a text."""

    def count(text: str) -> int:
        body = json.dumps({"content": text}).encode()
        request = urllib.request.Request(
            f"{base_url.rstrip('/')}/tokenize", body, {"content-type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            tokens: list[int] = json.load(response)["tokens"]
        return len(tokens)

    return count


def _paragraphs(text: str) -> Iterator[str]:
    parts = text.split("\n\n")
    if len(parts) == 1:
        parts = text.split("\n")
    return (part.strip() for part in parts if part.strip())


def _kept() -> Mapping[str, int]:
    counts: dict[str, int] = json.loads(COUNTS.read_text("utf-8"))
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, count, and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base_url", help="a llama.cpp server that has SmolLM2")
    options = parser.parse_args(arguments)
    counts = count_with(server_count(options.base_url))
    COUNTS.write_text(json.dumps(counts, indent=0, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
