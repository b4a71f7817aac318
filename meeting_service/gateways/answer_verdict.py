"""The verdict on an answer that has ended: a reply, or the fault that it is."""

from collections.abc import Sequence
from typing import Any

from meeting_service.gateways.redaction import one_line
from meeting_service.gateways.stream_accumulator import Answer
from meeting_service.gateways.thought_splitter import ThoughtSplitter
from meeting_service.ports import (
    ContextTooLong,
    Empty,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Refused,
    Rejected,
    Truncated,
)

_FILTERED = frozenset({"content_filter", "sensitive", "safety", "recitation", "prohibited_content"})
_BROKEN = frozenset({"abort", "error", "insufficient_system_resource", "network_error"})

MIN_WINDOW = 512
"""Windows of models are multiples of this; a prompt that takes exactly so much was cut to it."""

MAX_BLANKS = 16
"""So many tokens may have been written, such as line ends, though nothing came of them."""


def reply_of(
    answer: Answer,
    request: GatewayRequest,
    *,
    source: str,
    secrets: Sequence[str],
    keeps_thought: bool = False,
    needs_finish_reason: bool = False,
) -> GatewayReply:
    """Return the reply of an answer that has ended.

    Raises: `Truncated`, `Refused`, `Empty`; `ContextTooLong` when a silent answer shows that the
    brief filled the window; `Rejected` when no stream came at all.
    """
    taken: dict[str, Any] = {"usage": answer.usage, "tokens_seen": answer.tokens_seen}
    has_text = bool(answer.text.strip())
    reason = answer.finish_reason
    if answer.is_over and has_text:
        reason = "length"
    elif not reason and answer.is_done and has_text and not needs_finish_reason:
        reason = "stop"
    match reason:
        case "" if not (answer.is_over or (answer.is_done and not has_text)):
            raise _unfinished(answer, source, secrets)
        case _ if reason.lower() in _FILTERED:
            raise Refused(f"{source} filtered the answer", **taken)
        case _ if reason.lower() in _BROKEN:
            raise Truncated(one_line(f"{source} broke off the answer: {reason}", secrets), **taken)
        case _ if has_text:
            return GatewayReply(
                answer.text,
                one_line(reason, secrets),
                one_line(answer.model or request.model, secrets),
                answer.usage,
                answer.thought if keeps_thought else "",
                answer.thought_tokens,
                answer.is_over,
            )
        case _ if answer.refusal:
            said = _without_thoughts(answer.refusal) or "it gave thoughts, and no reason"
            raise Refused(one_line(f"{source} refused: {said}", secrets), **taken)
        case _:
            raise _silent(answer, request, reason, source, secrets)


def _unfinished(answer: Answer, source: str, secrets: Sequence[str]) -> GatewayFault:
    if not answer.is_understood and answer.media_type != "text/event-stream":
        return Rejected(
            one_line(
                f"{source} answered {answer.media_type or 'nothing'} instead of a stream;"
                " check base_url, and that the server can stream",
                secrets,
            )
        )
    return Truncated(
        f"{source} ended the answer without a finish reason after {len(answer.text)} characters",
        usage=answer.usage,
        tokens_seen=answer.tokens_seen,
    )


def _silent(
    answer: Answer, request: GatewayRequest, reason: str, source: str, secrets: Sequence[str]
) -> GatewayFault:
    said = f"{source} answered without text (finish reason {reason or 'none'})"
    if answer.thought_tokens:
        detail = (
            f"{said}: all {answer.thought_tokens} tokens of it, about, were thoughts; "
            "raise max_tokens_per_turn, or turn the model's reasoning off"
        )
        return Empty(one_line(detail, secrets), usage=answer.usage, tokens_seen=answer.tokens_seen)
    if answer.is_over and not answer.has_begun:
        detail = (
            f"{source} sent more than a reply of {request.max_reply_bytes} bytes may take, and no "
            "text in it; see what answers at base_url, or raise max_reply_bytes"
        )
        return Empty(one_line(detail, secrets), usage=answer.usage)
    if _fills_window(answer, reason):
        detail = f"{said}: the brief seems to fill the model's window"
        return ContextTooLong(
            one_line(detail, secrets), usage=answer.usage, tokens_seen=answer.tokens_seen
        )
    if reason == "length":
        said += (
            f"; the cap of {request.output_tokens} tokens went into something else, such as "
            "thoughts that are not shown: raise max_tokens_per_turn"
        )
    return Empty(one_line(said, secrets), usage=answer.usage, tokens_seen=answer.tokens_seen)


def _without_thoughts(text: str) -> str:
    splitter = ThoughtSplitter()
    split = splitter.add(text)
    # What is open at the end is a thought that the bound of a refusal has cut.
    rest = splitter.end(is_cut=True)
    return (rest.speech if rest.is_retraction else split.speech + rest.speech).strip()


def _fills_window(answer: Answer, reason: str) -> bool:
    """Return whether a model had no room to answer: some servers say nothing but the usage."""
    usage = answer.usage
    if usage is None or usage.reasoning_tokens:
        return False
    prompt = usage.prompt_tokens or 0
    total = usage.total_tokens or prompt + (usage.completion_tokens or 0)
    written = (usage.completion_tokens or 0) if not prompt else total - prompt
    if written > MAX_BLANKS:
        return False
    is_counted = usage.completion_tokens is not None or usage.total_tokens is not None
    return (reason == "length" and is_counted and prompt > 0) or any(
        each >= MIN_WINDOW and each % MIN_WINDOW in {0, MIN_WINDOW - 1} for each in (prompt, total)
    )
