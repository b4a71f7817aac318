"""What is believed of a usage that a provider reports: what can be true, and an estimate where not.

Providers count in many ways: thoughts within what was written or beside it, a total and nothing
else, one half of two, a 0 for a page of text. What is charged is never below a count that can be
true. Source: docs/explanation/budget.md.
"""

from msgspec.structs import replace

from meeting_core.model.values import ReportedUsage, Usage, UsageSource, Value

MAX_ESTIMATE_OF_COUNT = 4
"""An estimate is at most so many times the truth: a count further below it cannot be true."""

MAX_COUNT_OF_ESTIMATE = 10
MAX_UNSEEN_TOKENS = 200_000
"""A count of more than so many times the estimate, and so many tokens beside it for what we do not
see (a provider's own instructions, thoughts it keeps to itself), cannot be true.
"""


class _Written(Value, frozen=True):
    """What a model wrote, thoughts included; `is_counted` if its provider counted all of it."""

    tokens: int
    reasoning_tokens: int
    is_counted: bool = True


def believed_usage(
    reported: ReportedUsage | None,
    *,
    prompt_tokens: int,
    text_tokens: int,
    thought_tokens: int = 0,
    uncounted_tokens: int = 0,
    prompt_beyond_tokens: int = 0,
) -> Usage:
    """Return what a call is taken to have cost, by a report and by our estimates of the same.

    Units: tokens; `prompt_tokens`, `text_tokens` and `thought_tokens` are estimates of what was
    sent and of what came, all of the latter thoughts if they could not be told apart;
    `uncounted_tokens` is what the model may have written if no count of that can be believed, where
    it is more than what came. `prompt_beyond_tokens` are those of `prompt_tokens` that were not
    sent by us: a provider that no longer counts them is believed.
    """
    sent = prompt_tokens - prompt_beyond_tokens
    came = text_tokens + thought_tokens
    thoughts = thought_tokens if text_tokens else 0
    estimated = Usage(prompt_tokens, max(came, uncounted_tokens), "estimated", thoughts)
    if reported is None:
        return estimated
    prompt = _believed(reported.prompt_tokens, sent) or None  # no prompt is empty
    total = _believed(reported.total_tokens, sent + came)
    reasoning = _believed(reported.reasoning_tokens, 0) or 0
    written = _written(reported.completion_tokens, reasoning, text_tokens, thought_tokens)
    if total is not None:
        if prompt is None and written is None:
            return _split(total, prompt_tokens, came, reasoning)
        if prompt is None and written is not None:
            prompt = _believed(total - written.tokens, sent) or None
        elif prompt is not None and (written is None or not written.is_counted):
            rest = _rest(total - prompt, reasoning, text_tokens, thought_tokens)
            written = rest if rest is not None and rest.is_counted else written
    if prompt is None and (written is None or not written.tokens):
        return estimated
    if written is None:
        written = _Written(estimated.completion_tokens, thoughts, is_counted=False)
    elif not written.is_counted:
        written = replace(written, tokens=max(written.tokens, uncounted_tokens))
    source: UsageSource = "reported" if prompt and written.is_counted else "partly_reported"
    prompt = prompt or prompt_tokens
    # What a total has beyond both halves are thoughts that neither of them counts.
    beyond = max(0, (total or 0) - prompt - written.tokens)
    thoughts = max(written.reasoning_tokens, beyond)
    return Usage(prompt, written.tokens + beyond, source, thoughts)


def _believed(count: int | None, estimate: int) -> int | None:
    """Return a count that can be true, given our estimate of the same; else None."""
    if count is None or count < 0 or count * MAX_ESTIMATE_OF_COUNT < estimate:
        return None
    is_possible = count <= MAX_COUNT_OF_ESTIMATE * estimate + MAX_UNSEEN_TOKENS
    return count if is_possible else None


def _written(
    count: int | None, reasoning: int, text_tokens: int, thought_tokens: int
) -> _Written | None:
    """Return what a model wrote by its provider's counts; None if they say nothing of it.

    A count can be of everything, or of the text alone with the thoughts beside it.
    """
    came = text_tokens + thought_tokens
    if reasoning:
        both = None if count is None else count + reasoning
        if count is not None and _believed(count - reasoning, text_tokens) is not None:
            both = count
        elif _believed(count, text_tokens) is None:
            both = None
        if both is not None and _believed(both, came) is not None:
            return _Written(both, reasoning)
        thoughts = max(reasoning, thought_tokens)
        return _Written(text_tokens + thoughts, thoughts, is_counted=False)
    if count is not None and _believed(count, came) is not None:
        return _Written(count, count * thought_tokens // came if text_tokens else 0)
    if count is not None and text_tokens and _believed(count, text_tokens) is not None:
        return _Written(count + thought_tokens, thought_tokens, is_counted=False)
    return None


def _rest(count: int, reasoning: int, text_tokens: int, thought_tokens: int) -> _Written | None:
    """Return what a model wrote by what a total has beyond the prompt, which is all of it."""
    if 0 < reasoning <= count and _believed(count, text_tokens + thought_tokens) is not None:
        return _Written(count, reasoning)
    return _written(count, reasoning, text_tokens, thought_tokens)


def _split(total: int, prompt_tokens: int, came: int, reasoning: int) -> Usage:
    """Split a total of which neither half was reported: the prompt is as estimated, or less."""
    prompt = prompt_tokens
    if total < prompt_tokens + came:
        prompt = total * prompt_tokens // (prompt_tokens + came)
    written = total - prompt
    return Usage(prompt, written, "partly_reported", min(reasoning, written))
