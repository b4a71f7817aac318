"""The words that no name may have, each with the word of the field that stands for it.

Source: the words that readers of earlier versions stumbled over.
"""

from collections.abc import Iterator

from msgspec import Struct

from tests.architecture.names import Name


class Rule(Struct, frozen=True):
    """One group of words and what to use instead.

    Shape: each entry of `words` is one word or several in a row. Empty `kinds` and `rooms` mean
    all. With `at_start` only the beginning of a name counts, with `whole` only the whole name.
    """

    words: tuple[str, ...]
    instead: str
    kinds: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    at_start: bool = False
    whole: bool = False

    def broken_by(self, name: Name) -> bool:
        """Return whether a name has one of the words."""
        if self.kinds and name.kind not in self.kinds:
            return False
        if self.rooms and not name.place.startswith(self.rooms):
            return False
        return any(self._stands_in(tuple(words.split()), name.words) for words in self.words)

    def _stands_in(self, words: tuple[str, ...], name: tuple[str, ...]) -> bool:
        if self.whole:
            return words == name
        starts = range(1 if self.at_start else len(name))
        return any(name[n : n + len(words)] == words for n in starts)


# A test's name is a sentence, and so is a heading: there these are plain English.
_CODE = ("module", "class", "function", "variable")
_MODULE = ("module",)
_FUNCTION = ("function",)

RULES: tuple[Rule, ...] = (
    Rule(("vigil", "vigils", "staying awake", "stays awake"), "busy_wait, CommitSpinner"),
    Rule(("door", "doors", "may enter"), "gateway_access, GatewayClient.try_acquire"),
    Rule(("permit", "permits", "ticket", "tickets"), "call slot, CallLimiter"),
    Rule(("patience", "patient", "patiently"), "retry, timeout"),
    Rule(("surrounding", "surroundings", "around"), "dependencies, deps"),
    Rule(("surface",), "app_state, ServiceContext"),
    Rule(("invitation", "invitations"), "start_request, configuration_from_body"),
    Rule(("steer", "steers", "steered", "steering"), "control"),
    Rule(("stage", "stages"), "decide_events", _FUNCTION, at_start=True),
    Rule(("follow", "follows"), "advance, run_internal_steps, watch", _FUNCTION, at_start=True),
    Rule(("slot", "slots"), "task_state, TaskState"),
    Rule(
        ("replies", "attempts"), "finish_attempt, start_attempt", _MODULE, ("meeting_core/decider",)
    ),
    Rule(("knowledge", "calibration", "calibrations"), "model_profile"),
    Rule(("wording", "wordings"), "prompts, prompt"),
    Rule(("quoting",), "prompt_escaping"),
    Rule(("economy", "economies", "economise", "economize"), "budget_reductions"),
    Rule(("record", "rest"), "GiveCommand, Idle", ("class",), whole=True),
    Rule(("origin",), "EventMetadata", ("class",), whole=True),
    Rule(("envelop", "enveloped", "envelops"), "wrap_facts"),
    Rule(("mishap", "mishaps"), "Notice"),
    Rule(("dispatches",), "encoded_events, EncodedEvent"),
    Rule(("dispatch",), "EncodedEvent", ("class",), whole=True),
    Rule(("folds",), "MeetingCache", ("class",), whole=True),
    Rule(
        ("terms", "tail", "pace", "answer"),
        "config_views, feed, stream_timeouts",
        _MODULE,
        whole=True,
    ),
    Rule(("shape", "described"), "model, reference_rows", _MODULE, whole=True),
    Rule(
        ("tell", "tells", "told", "telling", "hear", "hears", "heard", "hearing"),
        "notify, emit, report, subscribe",
        _CODE,
    ),
    Rule(("ring", "rings", "rang", "rung", "bell", "bells", "doorbell"), "notify, on_change"),
    Rule(("notice", "notices", "noticed"), "on_change, detect", _FUNCTION, at_start=True),
    Rule(("away",), "unreachable, unavailable"),
    Rule(("forgotten", "unowned"), "orphaned"),
    Rule(("lifeline", "lifelines", "see out"), "lock_fd, wait_child"),
    Rule(("account", "hold"), "OsUser, LockMode", ("class",), whole=True),
    Rule(
        ("accounts", "upkeep", "histories", "exits", "reports"),
        "spending_table, db_commands, history_table, exit_codes, simulation_table",
        _MODULE,
        whole=True,
    ),
    Rule(("upkeep", "befall", "befalls", "befell"), "maintenance, limit_hits"),
    Rule(("tally", "tallies", "purse"), "collector, subtotal, cost_oracle"),
    Rule(("trip", "trips", "held"), "limit_hits, run_result", (), ("meeting_service/simulation",)),
    Rule(("reading", "texts"), "plan_file, sample_texts", _MODULE, whole=True),
    Rule(("books", "draws", "stage"), "bookkeeping_oracle, choices, scenario", _MODULE, whole=True),
    Rule(("most", "longest", "least", "smallest", "shortest"), "max, min", _CODE),
    Rule(("seat", "seats", "seated"), "participant, speaker"),
    Rule(
        ("writer", "writers"),
        "author (of the minutes), speaker",
        (),
        ("meeting_core", "tests/meeting_core"),
    ),
)

EXCEPTIONS: dict[str, str] = {
    "__slots__": "Python's own name",
    "call_slot": "the field's word for room under a limit on calls",
    "call_slots": "the field's word for room under limits on calls",
    "reads_at_least": "not a bound",
}
"""Names that may keep their word, with the reason.

A run of words is taken out of longer names too, so `call_slot` also excuses `CallSlotTaken`.
"""


def forbidden(name: Name) -> Iterator[str]:
    """Yield what is wrong with a name, with what to use instead."""
    if name.text in EXCEPTIONS:
        return
    checked = Name("_".join(_without_exceptions(name.words)), name.kind, name.place, name.line)
    for rule in RULES:
        if rule.broken_by(checked):
            where = f"{name.place}:{name.line}" if name.line else name.place
            yield f"{where}: {name.kind} {name.text!r}: use {rule.instead}"


def _without_exceptions(words: tuple[str, ...]) -> tuple[str, ...]:
    left = f" {' '.join(words)} "
    for excused in EXCEPTIONS:
        left = left.replace(f" {excused.replace('_', ' ').strip()} ", " ")
    return tuple(left.split())
