"""The minutes: the document a meeting leaves, and the parts read out of the synthesis."""

import re
from typing import Literal, TypeAlias

from meeting_core.model.meeting import Meeting
from meeting_core.model.values import EndCause, Manifest, Outcome, Value
from meeting_core.prompt.templates import SECTIONS

Priority: TypeAlias = Literal["high", "medium", "low"]

# A line's beginning is looked for as the end of the one before, in a third of the time that `^`
# takes: all that is searched has such an end in front. Runs are taken whole and never given back
# (`*+`): a model that repeats blanks must not cost more than their number. ASCII, so that no
# look-alike of a letter passes for a heading.
_BLANKS = r"[^\S\n]*+"
_HEADING = re.compile(
    rf"\n[ ]{{0,3}}#{{1,6}}{_BLANKS}({'|'.join(SECTIONS)}){_BLANKS}:?{_BLANKS}#*+{_BLANKS}$",
    re.ASCII | re.IGNORECASE | re.MULTILINE,
)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]?\]\s*)?")
_PRIORITY = re.compile(
    r"(?<!\s)\s*+[\[(]\s*+priority\s*+:\s*+(high|medium|low)\s*+[\])]$", re.ASCII | re.IGNORECASE
)
_OWNER = re.compile(r"^@?(?P<owner>[\w][\w .-]{0,63}?)\s*+:\s++(?P<text>.+)$")
_NOTHING = re.compile(r"^[\W_]*(?:none|nothing|n/?a)[\W_]*$", re.IGNORECASE)
# Some readers end a line at each of these, and what follows would be a line of its own to them.
_LINE_END = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029](?:(?<=\r)\n)?")
# What gives a line a meaning of its own, also within a list or a quotation: a heading, its
# underline, a rule, a fence, a box to tick, a link's target, our own last line.
_LINE_MARK = re.compile(
    r"\n((?:[ \t]|>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]++\S))*+)"
    r"(#|(?:=+|-+)[ \t]*$|`{3}|~{3}|\[(?=[ xX]?\]|[^\]\n]*(?:\]:|$))|How it ended)",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")

_ENDINGS: dict[EndCause, str] = {
    "agenda": "the agenda was completed",
    "budget": "the token budget ended the rounds early",
    "deadline": "the time limit ended the rounds early",
    "operator": "an operator ended the rounds early",
}


class ActionItem(Value, frozen=True):
    """A task from the synthesis; `owner` is empty if no name was given."""

    owner: str
    text: str
    priority: Priority


class MinutesParts(Value, frozen=True):
    """What could be read out of a synthesis; `missing` names the headings it lacked."""

    summary: str
    action_items: tuple[ActionItem, ...]
    decisions: tuple[str, ...]
    blockers: tuple[str, ...]
    missing: tuple[str, ...]


def parse_synthesis(text: str) -> MinutesParts:
    """Return the four sections of a synthesis; text outside any heading counts as summary."""
    text = _LINE_END.sub("\n", f"\n{text}")
    found: dict[str, str] = {}
    start, name = 0, SECTIONS[0]
    present = set()
    for match in _HEADING.finditer(text):
        found[name] = f"{found.get(name, '')}\n{text[start : match.start()]}".strip()
        name = match.group(1).title()
        present.add(name)
        found.setdefault(name, "")
        start = match.end()
    found[name] = f"{found.get(name, '')}\n{text[start:]}".strip()
    return MinutesParts(
        summary=found.get("Discussion Summary", ""),
        action_items=tuple(_action_item(line) for line in _lines(found.get("Action Items", ""))),
        decisions=tuple(_lines(found.get("Decisions", ""))),
        blockers=tuple(_lines(found.get("Blockers", ""))),
        missing=tuple(section for section in SECTIONS if section not in present),
    )


def outcome_of(meeting: Meeting, output_error: str = "") -> Outcome:
    """Return how the meeting ended and what was lost, from what happened so far."""
    degraded: list[str] = []
    if meeting.ended_by != "agenda":
        degraded.append(_ENDINGS[meeting.ended_by])
    skipped = {(turn.round_num, turn.agent_id): turn for turn in meeting.turns if turn.text is None}
    degraded.extend(
        f"round {turn.round_num}: {turn.agent_id} did not speak ({turn.skipped_reason})"
        for turn in skipped.values()
    )
    held = len(meeting.rounds)
    if held < meeting.config.num_rounds:
        degraded.append(f"only {held} of {meeting.config.num_rounds} rounds were held")
    synthesis = meeting.synthesis
    if synthesis is not None and synthesis.degraded:
        degraded.append(synthesis.degraded)
    if synthesis is not None and synthesis.manifest is not None:
        degraded.extend(_unseen(meeting, synthesis.manifest))
    degraded.extend(_overruns(meeting))
    if output_error:
        degraded.append(f"the minutes could not be saved: {output_error}")
    author = synthesis.agent_id if synthesis is not None else None
    spoke = {turn.agent_id for turn in meeting.turns if turn.text is not None}
    agents = [each.agent_id for each in meeting.config.participants]
    return Outcome(
        meeting.ended_by,
        tuple(degraded),
        author,
        tuple(agent_id for agent_id in agents if agent_id not in spoke),
        tuple(each.round_num for each in meeting.rounds if each.ending == "partial"),
        tuple(each.round_num for each in meeting.rounds if each.ending == "silent"),
        meeting.ledger.overrun,
    )


def _overruns(meeting: Meeting) -> list[str]:
    """Return which ceilings were passed: a call can take more than was set aside for it."""
    config, ledger = meeting.config, meeting.ledger
    found = []
    if config.meeting_tokens is not None and ledger.spent > config.meeting_tokens:
        passed = ledger.spent - config.meeting_tokens
        found.append(f"the ceiling of {config.meeting_tokens} tokens was passed by {passed}")
    if config.meeting_cost is not None:
        passed = ledger.spent_micros - int(config.meeting_cost * 1_000_000)
        if passed > 0:
            cost = f"{config.meeting_cost:g}"
            found.append(f"the ceiling of {cost} in money was passed by {passed / 1_000_000:g}")
    return found


def _unseen(meeting: Meeting, manifest: Manifest) -> list[str]:
    """Return what the author of the minutes did not see, or saw in part only."""
    versions = [
        turn.version
        for turn in meeting.turns
        if turn.text is not None
        and not any(each.first <= turn.version <= each.last for each in manifest.digested)
    ]
    versions += [remark.version for remark in meeting.remarks]
    versions += [each.digest.version for each in meeting.rounds if each.digest and each.digest.text]
    return [
        f"{len(entries)} of {len(versions)} contributions were {how}"
        for how, shown in (
            ("left out when the minutes were written", manifest.dropped),
            ("shortened when the minutes were written", manifest.shortened),
        )
        if shown is not None
        and (entries := [each for each in versions if shown.first <= each <= shown.last])
    ]


def render_minutes(meeting: Meeting, outcome: Outcome) -> str:
    """Return the minutes as markdown, in the fixed order of sections."""
    config = meeting.config
    text = meeting.synthesis.text if meeting.synthesis is not None else ""
    parts = parse_synthesis(text) if text else None
    participants = "\n".join(
        f"- {_plain(each.name)} (@{each.agent_id}){', ' + _inert(each.role) if each.role else ''}"
        for each in config.participants
    )
    sections = [
        f"# {_inert(' '.join(config.title.split()))}",
        f"## Goal\n\n{_plain(config.goal) or 'None was given.'}",
        f"## Participants\n\n{participants}",
        f"## Discussion Summary\n\n{_plain(parts.summary) if parts else _record(meeting)}",
        f"## Action Items\n\n{_items(parts)}",
        f"## Decisions\n\n{_bullets(parts.decisions if parts else ())}",
        f"## Blockers\n\n{_bullets(parts.blockers if parts else ())}",
        f"---\n\n{_ending_line(meeting, outcome)}",
    ]
    return "\n\n".join(sections) + "\n"


def _lines(section: str) -> list[str]:
    lines = (_BULLET.sub("", line).strip() for line in section.splitlines())
    return [line for line in lines if line and not _NOTHING.match(line)]


def _action_item(line: str) -> ActionItem:
    priority: Priority = "medium"
    if match := _PRIORITY.search(line):
        word = match.group(1).lower()
        priority = "high" if word == "high" else "low" if word == "low" else "medium"
        line = line[: match.start()]
    owned = _OWNER.match(line)
    if owned:
        return ActionItem(owned["owner"], owned["text"].strip(), priority)
    return ActionItem("", line.strip(), priority)


def _items(parts: MinutesParts | None) -> str:
    if parts is None or not parts.action_items:
        return "None."
    return "\n".join(
        f"- [ ] {'@' + item.owner + ': ' if item.owner else ''}{_plain(item.text)} "
        f"[priority: {item.priority}]"
        for item in parts.action_items
    )


def _bullets(lines: tuple[str, ...]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines) or "None."


def _plain(text: str) -> str:
    """Return a text that opens no sections of its own, by a mark before a line or under it."""
    lines = _inert(_LINE_END.sub("\n", f"\n{text.strip()}"))
    return _LINE_MARK.sub(r"\n\1\\\2", lines)[1:]


def _inert(text: str) -> str:
    """Return a text that is not read as HTML and fetches no image when it is shown."""
    # No backslash that the text brings along can undo either.
    return _TAG.sub("&lt;", text).replace("![", "!\\[")


def _record(meeting: Meeting) -> str:
    """Return who spoke on what, for minutes without a summary."""
    lines = ["No summary was written. Who spoke, round by round:", ""]
    for held in meeting.rounds:
        turns = [turn for turn in meeting.turns if turn.round_num == held.round_num]
        spoke = ", ".join(turn.agent_id for turn in turns if turn.text is not None) or "nobody"
        topic = _inert(" ".join(meeting.config.round_topics[held.round_num - 1].split()))
        lines.append(f"- Round {held.round_num} ({topic}): {spoke}")
    return "\n".join(lines)


def _ending_line(meeting: Meeting, outcome: Outcome) -> str:
    ending = _ENDINGS[outcome.ended_by]
    losses = f" Degraded: {'; '.join(outcome.degraded)}." if outcome.degraded else ""
    overrun = outcome.overrun_tokens
    if overrun:
        losses += f" Calls took {overrun} tokens beyond what was set aside for them."
    # In one line: a provider's message must not open sections of its own.
    return _inert(" ".join(f"How it ended: {ending}.{losses} (Meeting {meeting.id})".split()))
