"""The spending of a meeting as tables; every text in them is printable."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from meeting_service.cli.tables import table_of

Answer = Mapping[str, Any]


def meeting_spending(answer: Answer) -> RenderableType:
    """Return the sums, then each call."""
    headings = ("spent on", "calls", "useful tokens", "wasted tokens", *_money(answer, "cost"))
    calls = ("call", "outcome", "by", "model", "prompt", "reply", "charged", "source", "took")
    return Group(
        table_of(headings, _sums(answer)),
        Text(),
        table_of((*calls, *_money(answer, "cost")), _calls(answer)),
    )


def _money(answer: Answer, word: str) -> tuple[str, ...]:
    """Return the heading of a column of money, if the meeting has prices."""
    return (f"{word} ({answer['currency']})",) if answer.get("currency") else ()


def _sums(answer: Answer) -> Iterator[tuple[Any, ...]]:
    parts: list[tuple[str, Any]] = [("all", answer.get("total"))]
    parts += [(str(each.get("agent_name")), each) for each in answer.get("by_participant", ())]
    parts += [(f"round {each.get('round_num')}", each) for each in answer.get("by_round", ())]
    parts += [(name, answer.get(name)) for name in ("digests", "synthesis")]
    parts += [(f"model {each.get('model')}", each) for each in answer.get("by_model", ())]
    for name, part in parts:
        subtotal = (part or {}).get("spent", part) or {}
        if subtotal.get("calls"):
            yield (
                name,
                subtotal["calls"],
                subtotal.get("useful_tokens"),
                subtotal.get("wasted_tokens"),
                *_costs(answer, _both(subtotal)),
            )


def _calls(answer: Answer) -> Iterator[tuple[Any, ...]]:
    for call in answer.get("attempts", ()):
        yield (
            f"{call.get('task')}/{call.get('number')}",
            call.get("outcome"),
            call.get("agent_id"),
            call.get("answered_by") or call.get("model"),
            call.get("prompt_tokens"),
            call.get("completion_tokens"),
            call.get("charged_tokens"),
            call.get("source"),
            _milliseconds(call.get("latency_ms")),
            *_costs(answer, call.get("cost")),
        )


def _both(subtotal: Answer) -> float | None:
    costs = [subtotal.get(name) for name in ("useful_cost", "wasted_cost")]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def _costs(answer: Answer, cost: float | None) -> tuple[str, ...]:
    if not answer.get("currency"):
        return ()
    return ("" if cost is None else f"{cost:.6f}",)


def _milliseconds(value: object) -> str:
    return f"{value / 1_000:.1f} s" if isinstance(value, int | float) else ""
