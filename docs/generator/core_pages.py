"""The pages about `meeting_core`: facts, commands, phases, faults, and its public names."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

from generator.markdown import code, fenced, page, prose, table, typed
from generator.source import fields_of, methods_of, properties_of, signature_of, text_of
from generator.type_pages import COMMANDS, FACTS, PLACES, one_of, struct, types_page

import meeting_core
from meeting_core.decider.fault_policy import FAULT_RULES, MAX_WAIT_SECONDS, FaultRule
from meeting_core.model import (
    FINAL_PHASES,
    TRANSITIONS,
    Phase,
    PhaseChart,
    Resumed,
    events,
)


def core_pages() -> dict[str, str]:
    """Return the pages by file name."""
    return {
        "events.md": _events(),
        "commands.md": _commands(),
        "types.md": types_page(),
        "phases.md": _phases(),
        "faults.md": _faults(),
        "core-api.md": _names(),
    }


def _events() -> str:
    intro = (
        "Everything that can happen to a meeting. Each fact is stored under its name and version, "
        "as JSON inside an envelope (`MeetingEvent`, below); a new shape is a new version. Unknown "
        "fields are tolerated on reading, unknown names are not. The types are explained in "
        "[types](types.md), the phases in [phases](phases.md)."
    )
    envelope = f"## MeetingEvent\n\n{struct(events.MeetingEvent)}"
    return page("Events", intro, *map(_fact, FACTS), envelope)


def _fact(fact: type[Any]) -> str:
    happens = [code(phase) for phase in Phase if any(_edges(phase, fact))]
    leads = {code(target) for phase in Phase for target in _edges(phase, fact) if target != phase}
    where = f"Happens in {', '.join(happens)}" if happens else "Begins every history"
    if fact is Resumed:
        leads = {"the phase the meeting was paused in"}
    elif not happens:
        leads = {code(Phase.GATHERING)}
    to = f"leads to {', '.join(sorted(leads))}" if leads else "the phase stays"
    return f"## {fact.__name__}\n\n`{fact.TOPIC}`\n\n{struct(fact)}\n\n{where}; {to}."


def _edges(phase: Phase, fact: type[Any]) -> Iterator[Phase]:
    """Yield the phases that a fact leads to from a phase."""
    for (before, trigger), after in TRANSITIONS.items():
        if before is phase and trigger in _triggers(fact):
            yield after


def _triggers(fact: type[Any]) -> set[str]:
    if fact is Resumed:
        return {f"resumed_to_{phase}" for phase in Phase}
    return {fact.TOPIC.split(".")[1]}


def _commands() -> str:
    intro = (
        "What can be asked of a meeting. `decide(meeting, command, now)` answers with "
        "[facts](events.md), or raises one of the [refusals](errors.md). The types are explained "
        "in [types](types.md)."
    )
    parts = (f"## {command.__name__}\n\n{struct(command)}" for command in COMMANDS)
    return page("Commands", intro, *parts)


def _phases() -> str:
    intro = prose(text_of(PhaseChart)) + (
        "\n\nThis table and the diagram are printed from the chart in `meeting_core.model.phases`, "
        "the only statement of what may follow what. Outside the library `in_round` reads "
        "`round_1`, `round_2`, and so on."
    )
    edges = sorted(TRANSITIONS.items(), key=lambda edge: (*map(_order, edge[0]), edge[1]))
    rows = [(code(phase), code(fact), code(target)) for (phase, fact), target in edges]
    return page(
        "Phases",
        intro,
        fenced("mermaid", _diagram()),
        "A fact that leaves the phase as it is has no arrow; the table has them all.",
        table(("in", "the fact", "leads to"), rows),
    )


def _order(key: str) -> str:
    phases = list(Phase)
    return str(phases.index(Phase(key))) if key in phases else key


def _diagram() -> str:
    labels: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, trigger), target in TRANSITIONS.items():
        if phase is not target:
            labels.setdefault((phase, target), []).append(trigger)
    order = list(Phase)
    lines = [
        f"    {phase} --> {target}: {', '.join(sorted(triggers))}"
        for (phase, target), triggers in sorted(
            labels.items(), key=lambda item: [order.index(each) for each in item[0]]
        )
    ]
    endings = [f"    {phase} --> [*]" for phase in Phase if phase in FINAL_PHASES]
    return "\n".join(
        ("stateDiagram-v2", f"    [*] --> {Phase.GATHERING}: convened", *lines, *endings)
    )


def _faults() -> str:
    intro = (
        "How a call to a model can fail, and what follows. "
        + prose(text_of(FaultRule))
        + f"\n\nNo wait of our own is longer than {MAX_WAIT_SECONDS:g} s; one that a provider asks "
        "for is kept as long as the task's time allows another attempt after it. A participant "
        "whose attempts are used up is skipped, with the fault as the reason; at the synthesis the "
        "next participant tries. What a provider reported as used is charged if it can be true, "
        "and a call that never reached it is not. Once a first word or thought had come, no fault "
        "is free, and none means that the gateway is unreachable. An unreachable gateway is not "
        "the participant's fault: a turn waits for it for at most "
        "`gateway_reconnect_timeout_seconds`, and the meeting fails if it does not come back; a "
        "synthesis passes to a participant with another gateway, or is given up. A gateway that "
        "serves other models, and not this one at present, is not waited for: the participant goes "
        "on at once to its next model, for this task alone, or tries again like after any other "
        "fault; such a call is free."
    )
    columns = [field.name for field in fields_of(FaultRule)]
    rows = [
        (code(fault), *(_shown(getattr(rule, name)) for name in columns))
        for fault, rule in FAULT_RULES.items()
    ]
    return page("Faults", intro, table(("fault", *map(code, columns)), rows))


def _shown(value: float | bool | str) -> str:
    if isinstance(value, str):
        return code(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"


def _names() -> str:
    intro = (
        prose(text_of(meeting_core))
        + "\n\nEvery name that `from meeting_core import ...` gives. The rest of the package may "
        "change without notice, apart from the names in `__all__` of each of its packages."
    )
    return page("The names of meeting_core", intro, *map(_name, meeting_core.__all__))


def _name(name: str) -> str:
    public = getattr(meeting_core, name)
    place = PLACES.get(name, "core-api.md")
    if not place.startswith("core-api.md"):
        body = f"See [{place.partition('.')[0]}]({place})."
    elif inspect.isfunction(inspect.unwrap(public)):
        body = f"{fenced('text', signature_of(public))}\n\n{prose(text_of(public))}"
    elif inspect.isclass(public):
        body = _class(public)
    else:
        body = one_of(get_args(public))
    return f"## {name}\n\n{body}"


def _class(public: type) -> str:
    properties = [
        (code(name), typed(annotation, PLACES), text)
        for name, annotation, text in properties_of(public)
    ]
    methods = [
        f"- `{signature}`: {' '.join(prose(text).split())}"
        for signature, text in methods_of(public)
        if text
    ]
    parts = (struct(public), table(("property", "type", "meaning"), properties), "\n".join(methods))
    return "\n\n".join(part for part in parts if part)
