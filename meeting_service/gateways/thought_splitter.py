"""Tells the thoughts that a model writes into its answer from what it says.

Models that reason mark their thoughts by tags of their own; servers that know a model take them
out, and all others stream them as if they were speech.
"""

import re
from typing import NamedTuple

# What opens a thought, and what closes it. The names in angle brackets are taken in any case.
_TAGS = (
    *((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "reasoning")),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
_CLOSING = {opening.lower(): closing for opening, closing in _TAGS}
_OPENING_AT_LINE_START = re.compile(
    rf"(?:\A|(?<=\n))[ \t]*({'|'.join(re.escape(opening) for opening in _CLOSING)})", re.IGNORECASE
)
# A tag in quotes is spoken of, not used.
_ANY_CLOSING = re.compile(
    rf"(?<![`'\"“])(?:{'|'.join(re.escape(closing) for closing in _CLOSING.values())})(?![`'\"”])",
    re.IGNORECASE,
)
TAG_STARTS = frozenset("<[◁")
"""The characters that a tag begins with; text without them holds none."""

_TAG_START = re.compile("[<\\[◁]")
_MAX_TAG_CHARACTERS = max(len(tag) for pair in _TAGS for tag in pair)


class Split(NamedTuple):
    """What a piece of an answer adds to its text, and to its thoughts."""

    speech: str = ""
    thought: str = ""


class ThoughtSplitter:
    """Splits an answer as it comes.

    Shape: a thought stands between tags at the head of the answer, or at the head of a line.
    `begins_in_thought` is for models whose prompt has opened the thought already, so that only its
    closing tag comes; `began_in_thought` tells that this answer was of that kind, though it was not
    expected: its thought was taken for speech at first, and `is_retracted` says so. `last_said`
    is the last piece that was more than blanks; text that needs no splitting may go past the
    splitter if it is told so.
    """

    def __init__(self, *, begins_in_thought: bool = False) -> None:
        self.began_in_thought = False
        self.is_retracted = False
        self._pending = ""
        self.last_said = "\n"
        self._has_thought = begins_in_thought
        self._closing = _ANY_CLOSING if begins_in_thought else None
        self._is_assumed = begins_in_thought
        self._assumed: list[str] = []

    @property
    def is_speaking(self) -> bool:
        """Whether all that has come is settled, and the next text without a tag is speech."""
        return self._closing is None and not self._pending

    def add(self, text: str) -> Split:
        """Return what a piece of the answer adds."""
        if self.is_speaking and TAG_STARTS.isdisjoint(text):
            return self._said(text)
        self._pending += text
        return self._split(is_end=False)

    def end(self) -> Split:
        """Return what was still in doubt when the answer ended."""
        split = self._split(is_end=True)
        if self._is_assumed:
            # No closing tag came: this time, the model has not thought.
            return Split("".join(self._assumed) + split.thought + split.speech)
        return split

    def _split(self, *, is_end: bool) -> Split:
        speech, thought = "", ""
        while self._pending:
            more = self._thinking(is_end) if self._closing is not None else self._speaking(is_end)
            if more is None:
                break
            speech += more.speech
            thought += more.thought
        return Split(speech, thought)

    def _thinking(self, is_end: bool) -> Split | None:
        assert self._closing is not None
        found = self._closing.search(self._pending)
        if found is not None:
            thought = self._pending[: found.start()]
            self._pending = self._pending[found.end() :].lstrip()
            self._closing = None
            self.last_said = "\n"
            return self._thought(thought, is_closed=True)
        kept = 0 if is_end else _MAX_TAG_CHARACTERS
        ready = self._pending[: len(self._pending) - kept] if kept else self._pending
        if not ready:
            return None
        self._pending = self._pending[len(ready) :]
        return self._thought(ready, is_closed=False)

    def _thought(self, text: str, *, is_closed: bool) -> Split:
        if not self._is_assumed:
            return Split(thought=text)
        self._assumed.append(text)
        if not is_closed:
            return Split()
        self._is_assumed = False
        self.began_in_thought = True
        return Split(thought="".join(self._assumed))

    def _speaking(self, is_end: bool) -> Split | None:
        opening = self._opening()
        closing = None if self._has_thought else _ANY_CLOSING.search(self._pending)
        if closing is not None and (opening is None or closing.start() < opening.start()):
            # Nothing had opened it: all that was said before was the thought.
            thought = self._pending[: closing.start()]
            self._pending = self._pending[closing.end() :].lstrip()
            self._has_thought = self.began_in_thought = self.is_retracted = True
            self.last_said = "\n"
            return Split(thought=thought)
        if opening is not None:
            speech = self._pending[: opening.start()]
            closing_tag = _CLOSING[opening.group(1).lower()]
            self._pending = self._pending[opening.end() :].lstrip()
            self._has_thought = True
            self._closing = re.compile(re.escape(closing_tag), re.IGNORECASE)
            return self._said(speech)
        ready = self._pending if is_end else self._pending[: self._doubtful_from()]
        if not ready:
            return None
        self._pending = self._pending[len(ready) :]
        return self._said(ready)

    def _opening(self) -> re.Match[str] | None:
        for found in _OPENING_AT_LINE_START.finditer(self._pending):
            if found.start() > 0 or self._is_at_line_start:
                return found
        return None

    def _doubtful_from(self) -> int:
        """Return from where the pending text may be the beginning of a tag."""
        start = max(0, len(self._pending) - _MAX_TAG_CHARACTERS)
        found = _TAG_START.search(self._pending, start)
        return len(self._pending) if found is None else found.start()

    def _said(self, text: str) -> Split:
        # Blanks within a line do not change whether only blanks stand in it.
        if "\n" in text or not text.isspace():
            self.last_said = text
        return Split(text)

    @property
    def _is_at_line_start(self) -> bool:
        _, line_end, line = self.last_said.rpartition("\n")
        return bool(line_end) and not line.strip()
