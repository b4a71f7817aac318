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


# A test's name is a sentence, and so is a heading: there some of the words are plain English.
_CODE = ("module", "class", "function", "variable")
_MODULE = ("module",)
_FUNCTION = ("function",)
_CLASS = ("class",)

RULES: tuple[Rule, ...] = (
    Rule(("vigil", "vigils", "staying awake", "stays awake"), "busy_wait, CommitSpinner"),
    Rule(("door", "doors", "may enter"), "gateway_client, GatewayClient.try_acquire"),
    Rule(("permit", "permits", "ticket", "tickets"), "call slot, CallLimiter"),
    Rule(("patience", "patient", "patiently"), "retry_while_unavailable, timeout"),
    Rule(("surroundings",), "RunnerDependencies"),
    Rule(("around",), "deps", _CODE),
    Rule(("surface",), "app_state, ServiceContext"),
    Rule(("invitation", "invitations"), "configuration_from_body"),
    Rule(("steer", "steers", "steered", "steering"), "control"),
    Rule(("stage", "stages"), "decide_events", _FUNCTION, at_start=True),
    Rule(("follow", "follows"), "advance, run_internal_steps", _FUNCTION, at_start=True),
    Rule(("slot", "slots"), "task_state, TaskState"),
    Rule(("replies",), "finish_attempt", _MODULE, whole=True),
    Rule(("knowledge", "calibration"), "model_profile"),
    Rule(("wording", "wordings"), "prompts"),
    Rule(("quoting",), "prompt_escaping, escaping"),
    Rule(("economy", "economies"), "budget_reductions"),
    Rule(("record", "rest"), "GiveCommand, Idle", _CLASS, whole=True),
    Rule(("origin",), "EventMetadata", _CLASS, whole=True),
    Rule(("envelop", "envelops", "enveloped"), "wrap_facts"),
    Rule(("mishap", "mishaps"), "notices, Notice"),
    Rule(("dispatches",), "encoded_events"),
    Rule(("dispatch",), "EncodedEvent", ("class", "variable")),
    Rule(("folds",), "MeetingCache", _CLASS, whole=True),
    Rule(("terms",), "config_views", _MODULE, whole=True),
    Rule(("tail",), "feed", _MODULE, whole=True),
    Rule(("pace",), "stream_timeouts", _MODULE, whole=True),
    Rule(("answer",), "stream_accumulator", _MODULE, whole=True),
    Rule(("shape", "described"), "model, reference_rows", _MODULE, whole=True),
    Rule(("tell", "tells", "told", "telling"), "notify, emit", _CODE),
    Rule(("hear", "hears", "heard", "hearing"), "subscribe, on_change", _CODE),
    Rule(("ring", "rings", "rang", "rung", "bell", "bells", "doorbell"), "notify, on_change"),
    Rule(("notice", "notices", "noticed"), "on_change, detect", _FUNCTION, at_start=True),
    Rule(("away",), "unreachable, unavailable"),
    Rule(("forgotten", "unowned"), "orphaned", _CODE),
    Rule(("lifeline", "lifelines"), "lock_fd"),
    Rule(("account",), "OsUser", _CLASS, whole=True),
    Rule(("hold",), "LockMode", _CLASS, whole=True),
    Rule(("accounts",), "spending_table", _MODULE, whole=True),
    Rule(("upkeep",), "db_commands"),
    Rule(("histories",), "history_table", _MODULE, whole=True),
    Rule(("exits",), "exit_codes", _MODULE, whole=True),
    Rule(("reports",), "simulation_table", _MODULE, whole=True),
    Rule(("befall", "befalls", "befell"), "limit_hits"),
    Rule(("tally", "tallies"), "collector, subtotal"),
    Rule(("trip", "trips"), "limit_hits"),
    Rule(("held",), "run_result", (), ("meeting_service/simulation", "meeting_service/cli")),
    Rule(("reading",), "plan_file", _MODULE, whole=True),
    Rule(("texts",), "sample_texts", _MODULE, whole=True),
    Rule(("purse",), "cost_oracle"),
    Rule(("books",), "bookkeeping_oracle", _MODULE, whole=True),
    Rule(("stage",), "scenario", _MODULE, whole=True),
    Rule(("draws",), "choices", _MODULE, whole=True),
    Rule(("most", "longest"), "max", _CODE),
    Rule(("least", "smallest", "shortest"), "min", _CODE),
    Rule(("seat", "seats", "seated"), "participant, speaker"),
    Rule(("writer", "writers"), "author, speaker", (), ("meeting_core", "tests/meeting_core")),
)

EXCEPTIONS: dict[str, str] = {
    "__slots__": "Python's own name",
    "call_slot": "the glossary's word for room under a limit on calls",
    "call_slots": "the glossary's word for room under a limit on calls",
}
"""Names that keep a word of the rules, each with the reason.

A longer name is excused too where these words stand in it in a row: `free_call_slots`.
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
