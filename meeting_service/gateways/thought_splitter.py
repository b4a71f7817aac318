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
    ("<|channel>thought", "<channel|>"),
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
_ANY_CLOSING_TAG = rf"</{_NAME}[ ]?>|{_any_of(tuple(closing for _, closing in _OTHER_TAGS))}"
_ANY_CLOSING = _unquoted(_ANY_CLOSING_TAG)
_OPENING = re.compile(_OPENING_TAG, re.IGNORECASE)
_OPENING_AT_LINE_START = re.compile(rf"(?:\A|(?<=\n))[ \t]*({_OPENING_TAG})", re.IGNORECASE)
_ANY_TAG = _unquoted(rf"{_OPENING_TAG}|{_ANY_CLOSING_TAG}")
TAG_STARTS = frozenset("<[◁")
"""The characters that a tag begins with; text without them holds none."""

_TAG_START = re.compile("[<\\[◁]")
_MAX_TAG_CHARACTERS = 2 + max(
    *(len(f"</{name} >") for name in _NAMES), *(len(tag) for pair in _OTHER_TAGS for tag in pair)
)
_END_MARK = re.compile(r"<\|(?:return|end)\|>\s*\Z")
"""What some servers leave at the end of a text."""

_FENCES = ("```", "~~~")
_MAX_LINE_HEAD = 40
_MAX_SPLIT_CHARACTERS = 4_096
"""Longer pieces are split in parts, so that the work grows as their length does."""

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "\uff01", "\uff1f")
_GOES_ON = frozenset(" \t.,;:!?)]}-/'\u2019…")
"""What follows a tag directly if the sentence that names it goes on."""


class Split(NamedTuple):
    """What a piece of an answer adds to its text, and to its thoughts."""

    speech: str = ""
    thought: str = ""
    is_retraction: bool = False


class ThoughtSplitter:
    """Splits an answer as it comes.

    Shape: a thought stands between tags at the head of the answer, of a line, or after a sentence.
    A closing tag that nothing opened ends a thought too, but where a sentence names it: all before
    it was the thought then. Other tags are spoken of, and left alone. `begins_in_thought` is for
    models whose prompt has opened the thought already, so that only its closing tag comes;
    `began_in_thought` tells that this answer was of that kind, though it was not expected: its
    thought was then taken for speech at first, and `is_retracted` says so.
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
        # Tags that were spoken of and not closed, so that a closing tag is spoken of too.
        self._named_tags = 0
        self._has_thought = begins_in_thought
        self._closing = _ANY_CLOSING if begins_in_thought else None
        self._begins_in_thought = begins_in_thought
        # What may turn out to be a thought, or speech, once its end has come.
        self._held: list[str] | None = [] if begins_in_thought else None

    @property
    def has_thought(self) -> bool:
        """Whether a thought has been told from the speech and is over."""
        return self._has_thought and self._closing is None

    @property
    def is_speaking(self) -> bool:
        """Whether nothing is in doubt, and no thought open."""
        return self._closing is None and not self._pending and not self._skips_blanks

    def add(self, text: str) -> Split:
        """Return what a piece of the answer adds."""
        if self.is_speaking and TAG_STARTS.isdisjoint(text):
            return self._said(text)
        return self._split(text, is_end=False)

    def end(self, *, is_cut: bool = False) -> Split:
        """Return what was still in doubt when the answer ended, or was cut in mid-answer."""
        if self._closing is None:
            self._pending = _END_MARK.sub("", self._pending)
        split = self._split("", is_end=True)
        if self._held is None:
            return split
        held, self._held = "".join(self._held), None
        if is_cut:
            return Split(split.speech, held + split.thought)
        # No closing tag came: this time, the model has not thought.
        return Split(split.speech + held + split.thought)

    def _split(self, text: str, *, is_end: bool) -> Split:
        speech, thought = "", ""
        for start in range(0, max(1, len(text)), _MAX_SPLIT_CHARACTERS):
            self._pending += text[start : start + _MAX_SPLIT_CHARACTERS]
            while (more := self._next(is_end)) is not None:
                if more.is_retraction:
                    self.is_retracted = True
                    speech, thought = "", thought + speech
                speech += more.speech
                thought += more.thought
        return Split(speech, thought)

    def _next(self, is_end: bool) -> Split | None:
        """Return what the pending text adds next, if that can be told."""
        if self._skips_blanks:
            self._pending = self._pending.lstrip()
            self._skips_blanks = not self._pending
        if not self._pending:
            return None
        return self._thinking(is_end) if self._closing is not None else self._speaking(is_end)

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
        self._take_in_said()
        pending, before = self._pending, self._last
        text = before + pending + "\n" * is_end
        judged = 0
        for found in _ANY_TAG.finditer(text, len(before)):
            start, end = (place - len(before) for place in found.span(found.lastindex or 0))
            self._take_in(pending[judged:start])
            judged = start
            next_character = text[len(before) + end :][:1]
            is_opening = _OPENING.fullmatch(pending, start, end) is not None
            is_used = self._is_used(is_opening, next_character)
            if is_used is None:
                return self._say(start)
            if is_used:
                return self._open(start, end) if is_opening else self._retract(start, end)
            self._take_in(pending[start:end])
            judged = end
        ready = len(pending) if is_end else self._doubtful_from(judged)
        self.said.append(pending[judged:ready])
        return self._say(ready)

    def _say(self, end: int) -> Split | None:
        ready, self._pending = self._pending[:end], self._pending[end:]
        return Split(ready) if ready else None

    def _open(self, start: int, end: int) -> Split:
        speech, words = self._pending[:start], self._pending[start:end]
        self._held = [words] if self._has_spoken else None
        self._pending = self._pending[end:]
        self._has_thought, self._skips_blanks = True, self._held is None
        self._closing = _CLOSING.get(words.lower(), _CLOSING_NAME)
        return Split(speech)

    def _retract(self, start: int, end: int) -> Split:
        thought = self._pending[:start]
        self._after_thought(end)
        self.began_in_thought = self.began_in_thought or not self._has_thought
        self._has_thought, self._has_spoken = True, False
        return Split(thought=thought, is_retraction=True)

    def _is_used(self, is_opening: bool, next_character: str) -> bool | None:
        """Return whether a tag is meant as one, here; None if only what follows can show it."""
        if self._is_fenced:
            return False
        is_at_line_start = not self._line_head.strip()
        if is_opening and is_at_line_start:
            return True
        if not next_character:
            return None
        is_direct = next_character not in _GOES_ON
        if is_opening:
            is_after_any = self._has_thought or self._last.rstrip().endswith(_SENTENCE_ENDS)
            is_used = is_direct and is_after_any
            self._named_tags += not is_used
            return is_used
        if self._named_tags:
            self._named_tags -= 1
            return False
        is_after_sentence = next_character.isspace() and self._last.endswith(_SENTENCE_ENDS)
        return is_at_line_start or is_direct or is_after_sentence

    def _after_thought(self, end: int) -> None:
        self._pending = self._pending[end:]
        self._closing = None
        self._line_head, self._last, self.said = "", "", []
        self._named_tags = 0
        self._is_fenced, self._skips_blanks = False, True

    def _doubtful_from(self, judged: int) -> int:
        """Return from where the pending text may be the beginning of a tag."""
        start = max(judged, len(self._pending) - _MAX_TAG_CHARACTERS)
        found = _TAG_START.search(self._pending, start)
        return len(self._pending) if found is None else found.start()

    def _said(self, text: str) -> Split:
        self.said.append(text)
        return Split(text)

    def _take_in_said(self) -> None:
        text, self.said = "".join(self.said), []
        self._take_in(text)

    def _take_in(self, text: str) -> None:
        """Record where the answer stands after some speech."""
        self._has_spoken = self._has_spoken or bool(text.strip())
        self._last = (self._last + text[-2:])[-2:]
        self._line_head, self._is_fenced = self._line_after(text)

    def _line_after(self, text: str) -> tuple[str, bool]:
        """Return the head of the line in which a text ends, and whether that is in a code block."""
        if "\n" not in text:
            return (self._line_head + text)[:_MAX_LINE_HEAD], self._is_fenced
        first, *others = text.split("\n")
        lines = [self._line_head + first, *others]
        fences = sum(line.lstrip().startswith(_FENCES) for line in lines[:-1])
        return lines[-1][:_MAX_LINE_HEAD], self._is_fenced ^ (fences % 2 == 1)
