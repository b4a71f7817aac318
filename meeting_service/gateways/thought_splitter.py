"""Tells the thoughts that a model writes into its answer from what it says.

Models that reason mark their thoughts by tags of their own; servers that know a model take them
out, and all others stream them as if they were speech.
"""

import re
from typing import NamedTuple

_NAMES = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad"),
    *("antthinking", "inner_thoughts", "seed:think", "mm:think"),
)
# What opens a thought, and what closes it, of models that write it otherwise.
_OTHER_TAGS = (
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)


def _any_of(tags: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, tags))


_NAME = "(?:" + "|".join(_NAMES) + ")"
_OPENING_TAG = rf"(?:<{_NAME}[ ]?>|{_any_of(tuple(opening for opening, _ in _OTHER_TAGS))})"


def _unquoted(tag: str) -> re.Pattern[str]:
    """Match a tag that is used: one in quotes is spoken of."""
    return re.compile(rf"(?<![`'\"“])({tag})|({tag})(?=[^`'\"”])", re.IGNORECASE)


# A model may close its thought by another name than it opened it.
_CLOSING_NAME = _unquoted(rf"</{_NAME}[ ]?>")
_CLOSING = {opening.lower(): _unquoted(re.escape(closing)) for opening, closing in _OTHER_TAGS}
_ANY_CLOSING = _unquoted(rf"</{_NAME}[ ]?>|{_any_of(tuple(closing for _, closing in _OTHER_TAGS))}")
_OPENING_AT_LINE_START = re.compile(rf"(?:\A|(?<=\n))[ \t]*({_OPENING_TAG})", re.IGNORECASE)
_OPENING_ANYWHERE = _unquoted(_OPENING_TAG)
TAG_STARTS = frozenset("<[◁")
"""The characters that a tag begins with; text without them holds none."""

_TAG_START = re.compile("[<\\[◁]")
_MAX_TAG_CHARACTERS = 2 + max(
    *(len(f"</{name} >") for name in _NAMES), *(len(tag) for pair in _OTHER_TAGS for tag in pair)
)
_FENCES = ("```", "~~~")
_MAX_LINE_HEAD = 40


class Split(NamedTuple):
    """What a piece of an answer adds to its text, and to its thoughts."""

    speech: str = ""
    thought: str = ""
    is_retraction: bool = False


class _Place(NamedTuple):
    """Where a tag stands in the text that is in doubt."""

    start: int
    end: int


class ThoughtSplitter:
    """Splits an answer as it comes.

    Shape: a thought stands between tags at the head of the answer, or of a line; after the first,
    anywhere. `begins_in_thought` is for models whose prompt has opened the thought already, so that
    only its closing tag comes; `began_in_thought` tells that this answer was of that kind, though
    it was not expected: its thought was then taken for speech at first, and `is_retracted` says so.
    Only at the head is an opening tag sure to be one: what follows another waits for its closing
    tag, and is speech if none comes. `held_characters` is how much waits. `said` is what was said
    lately; while the answer `is_speaking`, text without `TAG_STARTS` may be added to it directly.
    """

    def __init__(self, *, begins_in_thought: bool = False) -> None:
        self.began_in_thought = False
        self.is_retracted = False
        self.held_characters = 0
        self.said: list[str] = []
        self._pending = ""
        self._skips_blanks = False
        self._line_head = ""
        self._last = ""
        self._is_fenced = False
        self._has_spoken = False
        self._has_thought = begins_in_thought
        self._closing = _ANY_CLOSING if begins_in_thought else None
        self._begins_in_thought = begins_in_thought
        # What may turn out to be a thought, or speech, once its end has come.
        self._held: list[str] | None = [] if begins_in_thought else None

    @property
    def is_speaking(self) -> bool:
        """Whether nothing is in doubt, and no thought open."""
        return self._closing is None and not self._pending and not self._skips_blanks

    def add(self, text: str) -> Split:
        """Return what a piece of the answer adds."""
        if self.is_speaking and TAG_STARTS.isdisjoint(text):
            return self._said(text)
        self._pending += text
        return self._split(is_end=False)

    def end(self, *, is_cut: bool = False) -> Split:
        """Return what was still in doubt when the answer ended, or was cut in mid-answer."""
        split = self._split(is_end=True)
        if self._held is None:
            return split
        held, self._held = "".join(self._held), None
        if is_cut:
            return Split(split.speech, held + split.thought)
        # No closing tag came: this time, the model has not thought.
        return Split(split.speech + held + split.thought)

    def _split(self, *, is_end: bool) -> Split:
        speech, thought = "", ""
        while self._pending:
            if self._skips_blanks:
                self._pending = self._pending.lstrip()
                self._skips_blanks = not self._pending
                continue
            more = self._thinking(is_end) if self._closing is not None else self._speaking(is_end)
            if more is None:
                break
            if more.is_retraction:
                self.is_retracted = True
                speech, thought = "", thought + speech
            speech += more.speech
            thought += more.thought
        return Split(speech, thought)

    def _thinking(self, is_end: bool) -> Split | None:
        assert self._closing is not None
        found = self._closing.search(self._pending + "\n" * is_end)
        if found is not None:
            thought = self._pending[: found.start()]
            self._after_thought(found.end())
            return self._thought(thought, is_closed=True)
        kept = 0 if is_end else _MAX_TAG_CHARACTERS
        ready = self._pending[: max(0, len(self._pending) - kept)]
        if not ready:
            return None
        self._pending = self._pending[len(ready) :]
        return self._thought(ready, is_closed=False)

    def _thought(self, text: str, *, is_closed: bool) -> Split:
        if self._held is None:
            return Split(thought=text)
        self._held.append(text)
        self.held_characters += len(text)
        if not is_closed:
            return Split()
        if self._begins_in_thought:
            self._begins_in_thought, self.began_in_thought = False, True
        held, self._held, self.held_characters = "".join(self._held), None, 0
        return Split(thought=_OPENING_AT_LINE_START.sub("", held, count=1))

    def _speaking(self, is_end: bool) -> Split | None:
        tag = _OPENING_ANYWHERE if self._has_thought else _OPENING_AT_LINE_START
        opening = self._first(tag, is_end=is_end)
        closing = self._first(_ANY_CLOSING, is_end=is_end)
        if closing is not None and (opening is None or closing.start < opening.start):
            # Nothing had opened it: all that was said before was the thought.
            thought = self._pending[: closing.start]
            self._after_thought(closing.end)
            self.began_in_thought = self.began_in_thought or not self._has_thought
            self._has_thought, self._has_spoken = True, False
            return Split(thought=thought, is_retraction=True)
        if opening is not None:
            words = self._pending[opening.start : opening.end]
            speech = self._said(self._pending[: opening.start])
            self._look_back()
            self._held = [words] if self._has_spoken else None
            self._pending = self._pending[opening.end :]
            self._has_thought, self._skips_blanks = True, self._held is None
            self._closing = _CLOSING.get(words.lower(), _CLOSING_NAME)
            return speech
        ready = self._pending if is_end else self._pending[: self._doubtful_from()]
        if not ready:
            return None
        self._pending = self._pending[len(ready) :]
        return self._said(ready)

    def _after_thought(self, end: int) -> None:
        self._pending = self._pending[end:]
        self._closing = None
        self._line_head, self._last, self.said = "", "", []
        self._is_fenced, self._skips_blanks = False, True

    def _first(self, tag: re.Pattern[str], *, is_end: bool) -> _Place | None:
        """Return the first such tag that is meant as one: not within a block of code."""
        self._look_back()
        before = "" if tag is _OPENING_AT_LINE_START else self._last
        text = self._pending + "\n" * is_end
        for found in tag.finditer(before + text, len(before)):
            start, end = (place - len(before) for place in found.span(found.lastindex or 0))
            line_head, is_fenced = self._line_after(self._pending[:start])
            is_at_line_start = not line_head.strip()
            if not is_fenced and (tag is not _OPENING_AT_LINE_START or is_at_line_start):
                return _Place(start, end)
        return None

    def _doubtful_from(self) -> int:
        """Return from where the pending text may be the beginning of a tag."""
        start = max(0, len(self._pending) - _MAX_TAG_CHARACTERS)
        found = _TAG_START.search(self._pending, start)
        return len(self._pending) if found is None else found.start()

    def _said(self, text: str) -> Split:
        self.said.append(text)
        return Split(text)

    def _look_back(self) -> None:
        """Take in where the answer stands after what was said lately."""
        text, self.said = "".join(self.said), []
        self._has_spoken = self._has_spoken or bool(text.strip())
        self._last = text[-1:] or self._last
        self._line_head, self._is_fenced = self._line_after(text)

    def _line_after(self, text: str) -> tuple[str, bool]:
        """Return the head of the line in which a text ends, and whether that is in a code block."""
        if "\n" not in text:
            return (self._line_head + text)[:_MAX_LINE_HEAD], self._is_fenced
        first, *others = text.split("\n")
        lines = [self._line_head + first, *others]
        fences = sum(line.lstrip().startswith(_FENCES) for line in lines[:-1])
        return lines[-1][:_MAX_LINE_HEAD], self._is_fenced ^ (fences % 2 == 1)
