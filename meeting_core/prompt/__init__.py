"""What a model is shown: briefs, their templates, and how long texts are."""

from meeting_core.prompt.brief import (
    WHOLE_SHARE,
    Brief,
    brief_within,
    build_brief,
    digest_of,
)
from meeting_core.prompt.brief_replay import rebuild_brief, shown_brief
from meeting_core.prompt.prompt_escaping import (
    HEAD_CHARACTERS,
    TAIL_CHARACTERS,
    attribute,
    quoted,
    shortened,
)
from meeting_core.prompt.prompt_parts import (
    document_scripts,
    document_tokens,
    fixed_scripts,
    fixed_tokens,
    min_brief_size,
    min_brief_tokens,
)
from meeting_core.prompt.scripts import script_tokens, weighing
from meeting_core.prompt.templates import MESSAGE_OVERHEAD_TOKENS, SECTIONS, TEMPLATE
from meeting_core.prompt.tokens import TokenCounter, cut_to_tokens, estimate_tokens

__all__ = [
    "HEAD_CHARACTERS",
    "MESSAGE_OVERHEAD_TOKENS",
    "SECTIONS",
    "TAIL_CHARACTERS",
    "TEMPLATE",
    "WHOLE_SHARE",
    "Brief",
    "TokenCounter",
    "attribute",
    "brief_within",
    "build_brief",
    "cut_to_tokens",
    "digest_of",
    "document_scripts",
    "document_tokens",
    "estimate_tokens",
    "fixed_scripts",
    "fixed_tokens",
    "min_brief_size",
    "min_brief_tokens",
    "quoted",
    "rebuild_brief",
    "script_tokens",
    "shortened",
    "shown_brief",
    "weighing",
]
