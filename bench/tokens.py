"""How near the estimate of tokens comes to true vocabularies, text by text, as a table.

    python bench/tokens.py [--write] [--time]

`--write` puts the table into its page of the documentation; a test holds the two together.
"""

import argparse
import timeit
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bpe_openai

from bench.corpora import corpora
from bench.small_vocabulary import languages, small_tokens
from meeting_core.model import UNKNOWN_MODEL, weighted
from meeting_core.prompt import estimate_tokens, script_tokens

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "token-counting.md"
BEGIN = "<!-- Made by bench/tokens.py; run it with --write. -->\n\n"
END = "\n<!-- The made part ends here. -->"

VOCABULARIES = ("o200k_base", "cl100k_base")
MIN_RATIO = 0.95
"""What the estimate is at least, as a share of the truth, for every text without an exception."""

EXCEPTIONS = {"finnish": 0.7, "random words": 0.4}
"""Texts whose shape does not show what they cost: long words of a language that the older
vocabulary hardly knows, and short words that are none.
"""

HEADINGS = ("text", "characters", "estimate", "o200k", "cl100k", "/ o200k", "/ cl100k", "lowest")
START_HEADINGS = ("language", "estimate", "start", "small", "/ small", "/ o200k", "/ cl100k")


@dataclass(frozen=True)
class Measured:
    """One text: its estimate, and its tokens by each vocabulary."""

    name: str
    characters: int
    estimate: int
    truths: tuple[int, ...]

    @property
    def ratios(self) -> list[float]:
        return [self.estimate / truth for truth in self.truths]

    @property
    def promised(self) -> float:
        return EXCEPTIONS.get(self.name, MIN_RATIO)


def true_tokens(text: str) -> tuple[int, ...]:
    """Count a text's tokens by each vocabulary."""
    return tuple(len(_vocabulary(name).encode_ordinary(text)) for name in VOCABULARIES)


@cache
def _vocabulary(name: str) -> bpe_openai.Encoding:
    return bpe_openai.get_encoding(name)


def measured() -> Iterator[Measured]:
    """Measure every corpus."""
    for name, text in corpora().items():
        yield Measured(name, len(text), estimate_tokens(text), true_tokens(text))


def table() -> str:
    """Lay the measurements out in markdown."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1))]
    for each in measured():
        figures = (each.characters, each.estimate, *each.truths)
        ratios = (*each.ratios, min(each.ratios))
        lines.append(
            (each.name, *(f"{figure:,}" for figure in figures), *map("{:.2f}".format, ratios))
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def start_tokens(text: str) -> int:
    """Estimate the tokens of a text for a model of which nothing is known."""
    return weighted(estimate_tokens(text), script_tokens((text,)), UNKNOWN_MODEL)


def start_table() -> str:
    """Lay out how near the start for an unknown model comes, language by language."""
    lines = [START_HEADINGS, ("---", *["---:"] * (len(START_HEADINGS) - 1))]
    for name, paragraphs in languages().items():
        text = "\n\n".join(paragraphs)
        start, small = start_tokens(text), small_tokens(text)
        figures = (estimate_tokens(text), start, small)
        ratios = [start / truth for truth in (small, *true_tokens(text))]
        lines.append((name, *(f"{figure:,}" for figure in figures), *map("{:.2f}".format, ratios)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(page: str, made: Sequence[str]) -> str:
    """Put the tables into the page, each between its marks."""
    done = ""
    for table in made:
        before, begin, rest = page.partition(BEGIN)
        _, end, page = rest.partition(END)
        if not (begin and end):
            raise ValueError(f"{PAGE.name} lacks the marks of a table")
        done += f"{before}{begin}{table}{end}"
    return done + page


def print_times() -> None:
    """Print how long 1,000 characters of some texts take."""
    for name in ("english", "code", "german", "chinese", "random letters"):
        text = (corpora()[name] * 3)[:1_000]
        runs = timeit.repeat(lambda text=text: estimate_tokens(text), number=2_000)
        print(f"{name:15} {min(runs) / 2_000 * 1e6:5.1f} microseconds for 1,000 characters")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    parser.add_argument("--time", action="store_true", help="measure the estimate's speed as well")
    options = parser.parse_args(arguments)
    made = (table(), start_table())
    print(*made, sep="\n")
    if options.write:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), made), "utf-8")
    if options.time:
        print_times()


if __name__ == "__main__":
    main()
