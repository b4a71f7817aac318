"""Reads what servers report of the tokens that a call took."""

from math import ceil
from typing import Any

from meeting_core.model import ReportedUsage

MAX_COUNT = 1_000_000_000
"""No call takes so many tokens: a larger number is no count."""

_PROMPT = (
    *("prompt_tokens", "input_tokens", "prompt_token_count", "prompt_eval_count"),
    *("promptTokens", "inputTokens", "promptTokenCount"),
)
_COMPLETION = (
    *("completion_tokens", "output_tokens", "candidates_token_count", "eval_count"),
    *("completionTokens", "outputTokens", "candidatesTokenCount"),
)
_TOTAL = ("total_tokens", "total_token_count", "totalTokens", "totalTokenCount")
_DETAILS = (
    *("completion_tokens_details", "output_tokens_details", "details"),
    *("completionTokensDetails", "outputTokensDetails"),
)
_REASONING = (
    *("reasoning_tokens", "reasoning", "thoughts_token_count"),
    *("reasoningTokens", "thoughtsTokenCount", "thinking_tokens"),
)
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")


def usage_in(reported: object, before: ReportedUsage | None = None) -> ReportedUsage | None:
    """Return a usage as a server reports it; None if it counts nothing at all.

    Some report each half in a piece of its own: what a report leaves out is as the one `before`.
    """
    if not isinstance(reported, dict):
        return before
    prompt, completion = _count(reported, _PROMPT), _count(reported, _COMPLETION)
    total = _count(reported, _TOTAL)
    if not prompt and not completion and not total:
        return before
    reasoning = _reasoning(reported)
    if before is None:
        return ReportedUsage(prompt, completion, total, reasoning)
    return ReportedUsage(
        prompt or before.prompt_tokens,
        before.completion_tokens if completion is None else completion,
        total,
        reasoning or before.reasoning_tokens,
    )


def cached_tokens_in(reported: object) -> int:
    """Return how many tokens of a prompt were written to a cache or read from it; never negative.

    Source: Anthropic reports them apart from `input_tokens`.
    """
    if not isinstance(reported, dict):
        return 0
    return sum(_count_of(reported.get(name)) or 0 for name in _CACHED)


def _reasoning(reported: dict[str, Any]) -> int:
    for name in _DETAILS:
        details = reported.get(name)
        if isinstance(details, dict) and (found := _count(details, _REASONING)):
            return found
    return _count(reported, _REASONING) or 0


def _count(reported: dict[str, Any], names: tuple[str, ...]) -> int | None:
    found = (_count_of(reported.get(name)) for name in names)
    return next((count for count in found if count is not None), None)


def _count_of(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared as it is: an integer of any length, an infinity and no number at all may stand here.
    return ceil(value) if 0 <= value <= MAX_COUNT else None
