"""What a model is shown, and how what it wrote is read."""

from meeting_core.prompt.brief import (
    WHOLE_SHARE,
    Brief,
    build_brief,
    digest_of,
    fixed_tokens,
    least_tokens,
    messages_shown,
    rebuild_brief,
    remember,
    shown_brief,
)
from meeting_core.prompt.minutes import (
    ActionItem,
    MinutesParts,
    Priority,
    outcome_of,
    parse_synthesis,
    render_minutes,
)
from meeting_core.prompt.prompt_escaping import (
    HEAD_CHARACTERS,
    TAIL_CHARACTERS,
    attribute,
    quoted,
    shortened,
)
from meeting_core.prompt.prompts import (
    MESSAGE_OVERHEAD_TOKENS,
    SECTIONS,
    TEMPLATE,
    Prompt,
    prompt_for,
)
from meeting_core.prompt.tokens import TokenCounter, cut_to_tokens, estimate_tokens

__all__ = [
    "HEAD_CHARACTERS",
    "MESSAGE_OVERHEAD_TOKENS",
    "SECTIONS",
    "TAIL_CHARACTERS",
    "TEMPLATE",
    "WHOLE_SHARE",
    "ActionItem",
    "Brief",
    "MinutesParts",
    "Priority",
    "Prompt",
    "TokenCounter",
    "attribute",
    "build_brief",
    "cut_to_tokens",
    "digest_of",
    "estimate_tokens",
    "fixed_tokens",
    "least_tokens",
    "messages_shown",
    "outcome_of",
    "parse_synthesis",
    "prompt_for",
    "quoted",
    "rebuild_brief",
    "remember",
    "render_minutes",
    "shortened",
    "shown_brief",
]
