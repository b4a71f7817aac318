"""Reading a plan from a TOML file, as strictly as settings and start bodies are read."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from meeting_core.decider import decide
from meeting_core.errors import InvalidConfiguration
from meeting_core.model import Configuration, Convene, ModelPrice, Participant, PriceTable
from meeting_service.settings import Settings
from meeting_service.simulation.plan import (
    Counting,
    Digest,
    Faults,
    Latency,
    Minutes,
    Outage,
    Plan,
    PlanError,
    Replies,
)
from meeting_service.simulation.simulator import FIXED_ID, STARTED_AT
from meeting_service.simulation.toml_reader import Tables, joined
from meeting_service.text_input import UnreadableText, read_text

_TABLES: dict[str, type[Struct]] = {
    "digest": Digest,
    "synthesis": Minutes,
    "latency": Latency,
    "faults": Faults,
    "usage": Counting,
    "outage": Outage,
}
_NUMBERS = ("runs", "seed")
_NAMES = (*_NUMBERS, "meeting", "replies", *_TABLES, "prices")
# Fields that need a store, and those with a table of their own.
_ELSEWHERE = {
    "parent_meeting_id": "cannot be read without a store; put the text in parent_minutes",
    "prices": "stand in a table of their own: [prices]",
}
_FROM_SETTINGS = (
    "max_attempts",
    "turn_timeout_seconds",
    "synthesis_timeout_seconds",
    "meeting_timeout_seconds",
)


class _ParticipantTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A participant as a start body has it."""

    id: str
    name: str
    role: str = ""
    instructions: str = ""
    model: str = ""
    gateway: str = ""
    fallback_models: tuple[str, ...] = ()


class _Price(Struct, frozen=True):
    """The price of a model, for a million tokens."""

    prompt: float
    completion: float


class _Prices(Struct, frozen=True, kw_only=True):
    """The prices as a file has them."""

    version: str
    currency: str = "USD"
    models: Mapping[str, Any]


def read_plan(
    path: Path, settings: Settings, *, runs: int | None = None, seed: int | None = None
) -> Plan:
    """Read a plan; `settings` has its agents, gateways, limits and timeouts.

    Shape: `runs` and `seed` take the place of the file's. Raises: `PlanError`.
    """
    given = _read_file(path)
    # Flags are checked as the file's own numbers are, but named as they were given.
    for name, value in (("runs", runs), ("seed", seed)):
        if value is not None:
            Tables("command line").value(f"--{name}", _type_of(Plan, name), value)
            given[name] = value
    return _PlanReader(str(path), settings).plan(given)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise PlanError(f"{path}: cannot be read: {reason}") from error
    except UnreadableText as error:
        raise PlanError(f"{path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{path}: is not valid TOML: {error}") from error


def _type_of(struct: type[Struct], name: str) -> Any:
    return next(each.type for each in fields(struct) if each.name == name)


class _PlanReader:
    """Reads one plan."""

    def __init__(self, source: str, settings: Settings) -> None:
        self._tables = Tables(source)
        self._settings = settings

    def plan(self, given: Mapping[str, Any]) -> Plan:
        tables = self._tables
        tables.check_names("", given, _NAMES)
        if "meeting" not in given:
            raise tables.refuse("meeting", "is missing; write [meeting] with participants")
        prices = self._prices(given["prices"]) if "prices" in given else None
        meeting = self._meeting(given["meeting"], prices)
        read: dict[str, Any] = {
            name: tables.struct(name, struct, given[name])
            for name, struct in _TABLES.items()
            if name in given
        }
        for name in _NUMBERS:
            if name in given:
                read[name] = tables.value(name, _type_of(Plan, name), given[name])
        plan = Plan(
            meeting=meeting,
            limits=self._settings.limits,
            replies=self._replies(given.get("replies", {}), meeting),
            **read,
        )
        together = sum(getattr(plan.faults, name) for name in _fault_names())
        # Ten times 0.1 is a little less or more than 1.
        if round(together, 9) > 1:
            raise tables.refuse("faults", f"come to {together:g} together; 1 is all calls")
        return plan

    def _prices(self, raw: Any) -> PriceTable:
        read = self._tables.struct("prices", _Prices, raw)
        models = []
        for name, table in read.models.items():
            at = f"prices.models.{name}"
            price = self._tables.struct(at, _Price, table)
            for kind in ("prompt", "completion"):
                value = getattr(price, kind)
                if not 0 <= value < 1_000_000:
                    raise self._tables.refuse(
                        f"{at}.{kind}", f"is {value:g}; it must be 0 or more, for a million tokens"
                    )
            models.append(ModelPrice(name, price.prompt, price.completion))
        return PriceTable(read.version, read.currency, tuple(models))

    def _meeting(self, raw: Any, prices: PriceTable | None) -> Configuration:
        given = dict(self._tables.table("meeting", raw))
        for name, remedy in _ELSEWHERE.items():
            if name in given:
                raise self._tables.refuse(f"meeting.{name}", remedy)
        known = {each.name: each for each in fields(Configuration) if each.name not in _ELSEWHERE}
        self._tables.check_names("meeting", given, known)
        if "participants" not in given:
            raise self._tables.refuse("meeting.participants", "is missing; add it")
        values = {name: getattr(self._settings, name) for name in _FROM_SETTINGS}
        participants = tuple(self._participants(given.pop("participants"), prices))
        for name, value in given.items():
            values[name] = self._tables.value(f"meeting.{name}", known[name].type, value)
        return self._convened(Configuration(participants=participants, prices=prices, **values))

    def _convened(self, config: Configuration) -> Configuration:
        """Return a configuration that can be convened. Raises: `PlanError`."""
        try:
            decide(None, Convene(FIXED_ID, config, self._settings.limits), STARTED_AT)
        except InvalidConfiguration as error:
            problem = "; ".join(f"meeting.{each.field}: {each.detail}" for each in error.problems)
            at, _, detail = problem.partition(": ")
            raise self._tables.refuse(at, detail) from None
        return config

    def _participants(self, raw: Any, prices: PriceTable | None) -> Iterator[Participant]:
        """Yield the participants, each with a model if the plan has the price of only one."""
        only = prices.models[0].model if prices is not None and len(prices.models) == 1 else ""
        for participant in self._given_participants(raw):
            # The only price is the price of all participants without a model.
            yield participant if participant.model else replace(participant, model=only)

    def _given_participants(self, raw: Any) -> Iterator[Participant]:
        if isinstance(raw, int) and not isinstance(raw, bool):
            for n in range(1, min(raw, self._settings.limits.max_participants + 1) + 1):
                yield self._settings.with_defaults(
                    Participant(f"participant-{n}", f"Participant {n}")
                )
            return
        if not isinstance(raw, list):
            raise self._tables.refuse(
                "meeting.participants", "must be a list of agents, or their number"
            )
        directory = {agent.agent_id: agent for agent in self._settings.participants}
        for n, each in enumerate(raw):
            at = f"meeting.participants[{n}]"
            if isinstance(each, str):
                if each not in directory:
                    known = ", ".join(directory)
                    problem = f"there is no agent {each!r}; the agents are {known}"
                    raise self._tables.refuse(at, problem)
                yield directory[each]
            else:
                yield self._participant(at, self._tables.struct(at, _ParticipantTable, each))

    def _participant(self, at: str, given: _ParticipantTable) -> Participant:
        if given.gateway and given.gateway not in self._settings.gateways:
            known = ", ".join(self._settings.gateways)
            problem = f"is {given.gateway!r}; the gateways are {known}"
            raise self._tables.refuse(f"{at}.gateway", problem)
        participant = Participant(
            given.id, given.name, given.role, given.instructions, given.model, given.gateway
        )
        return replace(
            self._settings.with_defaults(participant), fallback_models=given.fallback_models
        )

    def _replies(self, raw: Any, meeting: Configuration) -> dict[str, Replies]:
        """Read the common replies and those of single participants."""
        given = self._tables.table("replies", raw)
        agent_ids = [participant.agent_id for participant in meeting.participants]
        names = [each.name for each in fields(Replies)]
        self._tables.check_names("replies", given, [*names, *agent_ids])
        fields_of_all = {name: value for name, value in given.items() if name in names}
        common = self._tables.struct("replies", Replies, fields_of_all)
        return {
            agent_id: self._tables.struct(
                joined("replies", agent_id), Replies, given[agent_id], common
            )
            if agent_id in given and agent_id not in names
            else common
            for agent_id in agent_ids
        }


def _fault_names() -> list[str]:
    return [each.name for each in fields(Faults) if each.name != "retry_after_seconds"]
