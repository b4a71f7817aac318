"""Makes up what a scripted speaker says, from a seed and the brief it was shown, no more."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from meeting_core.model import Message
from meeting_core.prompt import estimate_tokens
from meeting_service.gateways.scripted_subjects import TRADES, WORK, Work

Chosen = TypeVar("Chosen")
Subject: TypeAlias = Literal["done", "next", "risk", "any"]

_PARTICIPANT = re.compile(
    r"^- (?P<name>[^\n(]+) \((?P<agent_id>[\w.-]+)\)(?:: (?P<role>.+))?$", re.M
)
_SPEAKER = re.compile(r"\AYou are (?P<name>[^,.\n]+)")
_TURN = re.compile(r'<turn round="(?P<round>\d+)" by="(?P<agent_id>[\w.-]+)"')
_QUOTE = re.compile(r"^<(?:document|minutes|turn|remark)\b|^Round \d", re.M)
_TITLE = re.compile(r"^# (?P<title>.+)$", re.M)
_GOAL = re.compile(r"^Goal of the meeting:\n(?P<goal>.+)$", re.M)
_UNNAMED = re.compile(r"Round \d+")
_TOPIC = re.compile(r"^Round \d+ of \d+\. Topic: (?P<topic>.+)$", re.M)

_SUBJECTS: tuple[tuple[Subject, re.Pattern[str]], ...] = (
    ("risk", re.compile(r"block|risk|help|concern|problem|wrong|stuck", re.I)),
    ("next", re.compile(r"next|focus|plan|will you|priorit|ahead", re.I)),
    ("done", re.compile(r"been working|done|progress|status|update|so far|last", re.I)),
)


class Speaker(Struct, frozen=True):
    """A participant, as far as the brief shows it."""

    agent_id: str
    name: str
    role: str = ""


class Scene(Struct, frozen=True):
    """What a speaker can read out of the brief; every part may be missing."""

    speaker: Speaker
    participants: tuple[Speaker, ...]
    title: str
    goal: str
    topic: str
    round_speakers: tuple[str, ...]
    spoken: frozenset[str]


def read_scene(messages: Sequence[Message], agent_id: str, round_num: int) -> Scene:
    """Return the scene that a brief shows.

    Shape: `agent_id` may be empty; the speaker is then looked up by name.
    """
    system = "\n".join(m.content for m in messages if m.role == "system")
    text = "\n".join(m.content for m in messages if m.role == "user")
    # What others wrote stands between these two, and must not pass for either.
    opening = _QUOTE.split(text, maxsplit=1)[0]
    closing = text[text.rfind("\nRound ") + 1 :]
    participants = tuple(
        Speaker(m["agent_id"], m["name"], m["role"] or "") for m in _PARTICIPANT.finditer(opening)
    )
    turns = [(int(m["round"]), m["agent_id"]) for m in _TURN.finditer(text)]
    return Scene(
        _speaker(participants, agent_id, _found(_SPEAKER, system)),
        participants,
        _found(_TITLE, opening),
        _found(_GOAL, opening),
        _found(_TOPIC, closing),
        tuple(speaker for number, speaker in turns if number == round_num),
        frozenset(speaker for _, speaker in turns),
    )


def turn_text(scene: Scene, seed: int, task: str) -> str:
    """Return a few sentences on the topic."""
    work = _work_of(scene, scene.speaker, seed)
    other = _other_work(scene, work, seed)
    subject = _subject(scene.topic)
    key = f"{seed}/{task}/{scene.title}/{scene.topic}"
    return " ".join([*_opening(scene, key), *_sentences(subject, scene, work, other, key)])


def synthesis_text(scene: Scene, seed: int, output_tokens: int) -> str:
    """Return minutes in the four sections asked for, on as many speakers as the cap has room for.

    Units: tokens.
    """
    participants = [
        participant
        for participant in scene.participants
        if not scene.spoken or participant.agent_id in scene.spoken
    ]
    works = [
        (participant, _work_of(scene, participant, seed))
        for participant in participants or [scene.speaker]
    ]
    while estimate_tokens(text := _minutes(scene, works)) > output_tokens and len(works) > 1:
        works.pop()
    return text


def _minutes(scene: Scene, works: list[tuple[Speaker, Work]]) -> str:
    about = f" with this goal: {scene.goal.rstrip('.')}" if scene.goal else ""
    names = _listed([participant.name for participant, _ in works])
    summary = " ".join(
        [f"{names} met{about}."]
        + [
            f"{participant.name} reported on {work.subject}: {work.done}."
            for participant, work in works
        ]
    )
    ranks = ("high", "medium", "low")
    items = [
        f"- [ ] @{participant.agent_id}: {_raised(work.next_step)} [priority: {ranks[min(n, 2)]}]"
        for n, (participant, work) in enumerate(works)
    ]
    decisions = [f"- {work.decision}" for _, work in works[:2]]
    blockers = [
        f"- {_raised(work.risk)} (@{participant.agent_id})" for participant, work in works[-2:]
    ]
    return "\n".join(
        (
            f"## Discussion Summary\n{summary}\n",
            "## Action Items",
            *items,
            "\n## Decisions",
            *decisions,
            "\n## Blockers",
            *blockers,
        )
    )


def chosen(options: Sequence[Chosen], key: str) -> Chosen:
    """Return a choice by a key: the same key, the same choice, in every process."""
    return options[int(share(key) * len(options))]


def share(key: str) -> float:
    """Return a number from 0 up to, but not including, 1 by a key, evenly spread."""
    return int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=6).digest()) / 2**48


def _speaker(participants: tuple[Speaker, ...], agent_id: str, name: str) -> Speaker:
    for participant in participants:
        if participant.agent_id == agent_id or (not agent_id and participant.name == name):
            return participant
    return Speaker(agent_id or name or "speaker", name or agent_id or "Speaker")


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[match.lastgroup or 0].strip() if match else ""


def _work_of(scene: Scene, participant: Speaker, seed: int) -> Work:
    """Return a participant's work for the whole meeting, its own within its trade if possible."""
    trade = _trade(participant)
    peers = [other.agent_id for other in scene.participants if _trade(other) == trade]
    rank = peers.index(participant.agent_id) if participant.agent_id in peers else 0
    works = WORK[trade]
    first = int(share(f"{seed}/{trade}/{scene.title}") * len(works))
    return works[(first + rank) % len(works)]


def _other_work(scene: Scene, work: Work, seed: int) -> Work:
    works = [other for other in WORK[_trade(scene.speaker)] if other is not work]
    return chosen(works, f"{seed}/other/{scene.speaker.agent_id}/{scene.title}")


@lru_cache(maxsize=1024)
def _trade(participant: Speaker) -> str:
    for text in (participant.agent_id, participant.role, participant.name):
        for trade, words in TRADES:
            if any(word in text.lower() for word in words):
                return trade
    return "any"


def _subject(topic: str) -> Subject:
    return next((subject for subject, words in _SUBJECTS if words.search(topic)), "any")


def _opening(scene: Scene, key: str) -> list[str]:
    """Return an answer to the speaker before, if there was one in this round."""
    names = {participant.agent_id: participant.name for participant in scene.participants}
    before = names.get(scene.round_speakers[-1], "") if scene.round_speakers else ""
    if not before:
        return []
    openings = (
        f"Thanks, {before}, that fits what I see.",
        f"I agree with {before} on the main point.",
        f"To add to what {before} said, here is my side.",
    )
    return [chosen(openings, f"{key}/opening")]


def _sentences(subject: Subject, scene: Scene, work: Work, other: Work, key: str) -> list[str]:
    match subject:
        case "done":
            return [
                f"I have been working on {work.subject}, and {work.done}.",
                f"I also looked into {other.subject}: {other.done}.",
                chosen(_CLOSINGS, key),
            ]
        case "next":
            return [
                f"I will stay with {work.subject} and {work.next_step}.",
                f"After that I want to {other.next_step}.",
                chosen(_PROMISES, key),
            ]
        case "risk":
            return [
                f"My main concern is that {work.risk}.",
                f"It would help if {_helper(scene, key)} could look at it with me.",
                f"Less pressing, but on my list: {other.risk}.",
            ]
        case "any":
            has_name = scene.topic and not _UNNAMED.fullmatch(scene.topic)
            on = f"On this topic, {_lowered(scene.topic.rstrip('.?!'))}: " if has_name else ""
            return [
                _raised(f"{on}what matters most from my side is {work.subject}."),
                f"The good news is that {work.done}; the open point is that {work.risk}.",
                f"I suggest that we {work.next_step}.",
            ]


def _helper(scene: Scene, key: str) -> str:
    others = [
        participant.name
        for participant in scene.participants
        if participant.agent_id != scene.speaker.agent_id
    ]
    return chosen(others, f"{key}/helper") if others else "somebody"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lowered(text: str) -> str:
    # An abbreviation such as "API" keeps its capitals.
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


_CLOSINGS = (
    "Nothing about it should surprise anybody.",
    "It took longer than planned, but it is steady now.",
    "The details are written down for whoever wants to check them.",
)
_PROMISES = (
    "Both should be settled within the week.",
    "I will say so early if either slips.",
    "Neither of them waits for anybody else.",
)
