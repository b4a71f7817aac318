"""The flags of `meetings start`: one for every field of the request."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from meeting_service.cli.exit_codes import CommandError, Exit


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """The options of a new meeting; the service has defaults for what is left out."""

    title: Annotated[str | None, Parameter(help="What the meeting is called.")] = None
    participant: Annotated[
        tuple[str, ...],
        Parameter(
            help="Agent id, or a JSON object with id, name, role, instructions, model, gateway, "
            "fallback_models; repeat it, in speaking order (default: every agent of the service)."
        ),
    ] = ()
    rounds: Annotated[
        int | None, Parameter(help="Number of rounds (default: one for each topic, else 3).")
    ] = None
    topic: Annotated[
        tuple[str, ...], Parameter(help="What a round is about; repeat it, one for each round.")
    ] = ()
    room: Annotated[str | None, Parameter(help="Room; it holds one live meeting.")] = None
    project: Annotated[str | None, Parameter(help="Project the meeting belongs to.")] = None
    document: Annotated[
        Path | None, Parameter(help="Text file to put before the meeting; - reads standard input.")
    ] = None
    parent: Annotated[
        str | None, Parameter(help="Complete meeting whose minutes this one builds on.")
    ] = None
    max_tokens_per_turn: Annotated[int | None, Parameter(help="Most tokens of one turn (200).")] = (
        None
    )
    synthesis_max_tokens: Annotated[
        int | None, Parameter(help="Most tokens of the closing text (500).")
    ] = None
    context_tokens: Annotated[
        int | None, Parameter(help="Most tokens an agent is shown for a turn (3500).")
    ] = None
    meeting_tokens: Annotated[
        int | None, Parameter(help="Most tokens the whole meeting may spend (no ceiling).")
    ] = None
    meeting_cost: Annotated[
        float | None, Parameter(help="Most money the whole meeting may spend (no ceiling).")
    ] = None
    on_budget: Annotated[
        Literal["wrap_up", "pause", "fail"] | None,
        Parameter(help="What happens when no further turn can be paid for."),
    ] = None
    min_tokens_per_turn: Annotated[
        int | None, Parameter(help="Least tokens worth a turn (32).")
    ] = None
    digest_rounds: Annotated[
        bool, Parameter(help="Have closed rounds digested; one more call a round.")
    ] = False
    synthesizer: Annotated[
        str | None, Parameter(help="Participant who writes the minutes (the first).")
    ] = None
    idempotency_key: Annotated[
        str | None, Parameter(help="Repeating a start with the same key starts nothing new.")
    ] = None

    def body(self, goal: str | None) -> dict[str, Any]:
        """Return the request's body, without the fields that were not given.

        Raises: `CommandError`.
        """
        fields = {
            "goal": goal,
            "title": self.title,
            "room_id": self.room,
            "project_id": self.project,
            "participants": [_participant(each) for each in self.participant] or None,
            "num_rounds": self.rounds if self.rounds is not None else len(self.topic) or None,
            "round_topics": list(self.topic) or None,
            "max_tokens_per_turn": self.max_tokens_per_turn,
            "synthesis_max_tokens": self.synthesis_max_tokens,
            "context_tokens": self.context_tokens,
            "meeting_tokens": self.meeting_tokens,
            "meeting_cost": self.meeting_cost,
            "on_budget": self.on_budget,
            "min_tokens_per_turn": self.min_tokens_per_turn,
            "digest_rounds": self.digest_rounds or None,
            "synthesizer": self.synthesizer,
            "document_context": _document(self.document) if self.document else None,
            "parent_meeting_id": self.parent,
        }
        return {name: value for name, value in fields.items() if value is not None}


DEFAULT_START_OPTIONS = StartOptions()


def _participant(given: str) -> Any:
    if not given.lstrip().startswith("{"):
        return given
    import json

    try:
        return json.loads(given)
    except ValueError as error:
        raise CommandError(f"--participant: is no JSON object: {error}", Exit.USAGE) from error


def _document(path: Path) -> str:
    import sys

    from meeting_service.text_input import UnreadableText, decode_text, read_text

    try:
        # Its bytes, because the terminal's encoding need not be that of what is piped in.
        return decode_text(sys.stdin.buffer.read()) if str(path) == "-" else read_text(path)
    except UnreadableText as error:
        raise CommandError(f"--document: {path} {error}", Exit.USAGE) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(f"--document: {path} cannot be read: {reason}", Exit.USAGE) from error
