"""Names that models write before a text, as in a script: their own comes off, others are noted.

A model that reads a transcript likes to write one: `Critic: ...`, `**Critic:**`, `# Critic`, and
then what the others would say. Only a participant's own id or name is a label; `Design: we need
...` is ordinary speech of everybody but Design.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import normalize

from meeting_core.model.values import AgentId, Participant

MAX_LABELS = 3
"""A label may stand under a heading that is one too."""

_EMPHASIS = r"*_~`"
_QUOTATION_MARKS = "\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
_OPENING_BRACKETS = r"\[(<{\u3010\u300c\uff3b\uff08"
_CLOSING_BRACKETS = r"\])>}\u3011\u300d\uff3d\uff09"
_OPENING = rf"[{_EMPHASIS}{_QUOTATION_MARKS}{_OPENING_BRACKETS}]"
_CLOSING = rf"[{_EMPHASIS}{_QUOTATION_MARKS}{_CLOSING_BRACKETS}]*+"
_REMARK = rf"(?:\s?[{_OPENING_BRACKETS}][^\n{_CLOSING_BRACKETS}]{{0,200}}+[{_CLOSING_BRACKETS}])?"
_SAYING = (
    r"(?:['\u2019]s\s(?:turn|reply|response|answer|contribution)"
    r"|\s(?:says|said|speaks|speaking|replies|responds))?"
)
_COLON = r"[^\S\n]*+[:\uff1a\ufe55\ufe13\ua789]"
_LINE_END = r"[^\S\n]*+(?:\n|\Z)"


def without_label(text: str, participant: Participant) -> tuple[str, str]:
    """Return a text without the speaker's own name before it, and what stood there, as it came."""
    rest, label = text, _own_label(participant.agent_id, participant.name, participant.role)
    for _ in range(MAX_LABELS):
        match = label.match(rest)
        if match is None:
            break
        rest = rest[match.end() :]
    return rest, text[: len(text) - len(rest)]


def speaks_for(
    text: str, participants: Iterable[Participant], agent_id: AgentId
) -> tuple[AgentId, ...]:
    """Return the other participants in whose names lines of a text begin."""
    folded, own, found = text.casefold(), "", []
    for each in participants:
        if each.agent_id == agent_id:
            own = each.name
            continue
        for word in _first_words(each.agent_id, each.name):
            if word in folded:  # in nearly no text, which saves the search
                found.append(each)
                break
    return tuple(
        each.agent_id
        for each in found
        if each.name.casefold() != own.casefold()
        and _others_label(each.agent_id, each.name).search(text) is not None
    )


@lru_cache(maxsize=1_024)
def _first_words(agent_id: AgentId, name: str) -> tuple[str, ...]:
    """Return how a label may begin, in small letters."""
    spelt = (agent_id, normalize("NFC", name), normalize("NFD", name))
    return tuple(dict.fromkeys(_words(each)[0].casefold() for each in spelt))


@lru_cache(maxsize=1_024)
def _own_label(agent_id: AgentId, name: str, role: str) -> re.Pattern[str]:
    """Match a label at the head of a text, and the blanks after it.

    A name before a colon or a dash, alone on its line, or in brackets.
    """
    name_or_id = rf"[@\uff20]?(?:{_names(agent_id, name, role)})(?![^\W_])"
    return re.compile(
        rf"\s*+(?:>\s*+|#{{1,6}}\s++)*+(?:"
        rf"(?P<opened>{_OPENING}++)?{name_or_id}{_SAYING}{_CLOSING}{_REMARK}{_SAYING}{_CLOSING}"
        rf"(?:{_COLON}(?(opened){_CLOSING})|{_LINE_END}(?=\s*+\S)|\s++[\u2013\u2014-](?=\s))"
        rf"|{_in_brackets(name_or_id)})\s*+",
        re.IGNORECASE,
    )


@lru_cache(maxsize=1_024)
def _others_label(agent_id: AgentId, name: str) -> re.Pattern[str]:
    """Match a line that begins with a label: a name before a colon, in brackets, or as a heading.

    With a sign before it that addresses somebody (`@`), or that quotes (`>`), it is no label.
    """
    name_or_id = rf"(?:{_names(agent_id, name)})(?![^\W_])"
    return re.compile(
        rf"^[^\S\n]*+(?:[-+\u2022]\s++)?(?:(?P<heading>#{{1,6}}\s++)?"
        rf"(?P<opened>{_OPENING}++)?{name_or_id}{_SAYING}{_CLOSING}{_REMARK}{_SAYING}{_CLOSING}"
        rf"(?:{_COLON}|(?(heading)|(?(opened)|(?!))){_LINE_END})"
        rf"|{_in_brackets(name_or_id)})",
        re.IGNORECASE | re.MULTILINE,
    )


def _in_brackets(name: str) -> str:
    """Return a pattern for a name in brackets before a text, without a colon."""
    return (
        rf"[{_EMPHASIS}]*+[{_OPENING_BRACKETS}]{name}[^\n{_CLOSING_BRACKETS}]{{0,200}}+"
        rf"[{_CLOSING_BRACKETS}][{_EMPHASIS}]*+(?=\s)"
    )


def _names(agent_id: AgentId, name: str, role: str = "") -> str:
    """Return a pattern for an id, a name, or a name and a role, however the words are joined."""
    spelt = dict.fromkeys((name, normalize("NFC", name), normalize("NFD", name), agent_id))
    if role:
        spelt[f"{name}, {role}"] = None
    # A name stands within one line.
    patterns = [r"(?:[^\S\n]|[_.-])+".join(map(re.escape, _words(each))) for each in spelt]
    return "|".join(sorted(patterns, key=len, reverse=True))


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_.-]+", name) if word] or [name]
