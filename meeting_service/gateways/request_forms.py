"""What a server was found not to know of our requests, so that it is asked in another form.

Servers that speak OpenAI's API differ in the name of the output cap, in whether they report usage
in streams, in the roles their chat templates know, and in whether they stream at all.
"""

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from meeting_service.gateways.provider_errors import ProviderError

MaxTokensField: TypeAlias = Literal["max_completion_tokens", "max_tokens"]

_UNKNOWN = re.compile(
    r"\bun(?:known|supported|recognized|recognised|expected|permitted)\b"
    r"|\bextra(?:_forbidden| inputs| fields)\b|\bnot (?:a )?(?:permitted|allowed|supported"
    r"|recognized|recognised|known|valid|enabled|expected|available|defined|accepted|implemented|compatible)\b"
    r"|\b(?:does|do|is|are|can)(?:n.t| not)\b[^.]{0,30}\b(?:support|accept|allow|know|take"
    r"|recogni[sz]e|permit)|\badditional propert|\bno such (?:field|parameter|argument)"
    r"|\bcannot be (?:used|set|specified)\b|\bonly (?:the )?(?:user|roles?)\b|\binvalid (?:field"
    r"|parameter|argument|property|key|role)|\buse ['\"`]?max_|\bmust alternate\b|\bdeprecated\b"
    r"|\bis not one of\b|\bunexpected keyword\b|\bforbidden\b",
    re.IGNORECASE,
)
_SYSTEM_ROLE = re.compile(
    r"\b(?:system|developer)\b[^.;]{0,60}\b(?:role|messages?|prompts?|instructions?)\b"
    r"|\broles?\b[^.;]{0,80}\b(?:system|developer|alternate)\b"
    r"|\bonly (?:the )?['\"]?user['\"]?[^.;]{0,40}\broles?\b",
    re.IGNORECASE,
)
_STREAMING = re.compile(r"(?<![\w.])['\"`]?stream(?:ing)?['\"`]?(?![\w_])", re.IGNORECASE)


class RequestForm(Struct, frozen=True):
    """The form in which a server is asked."""

    max_tokens_field: MaxTokensField = "max_completion_tokens"
    stream_options: bool = True
    system_role: bool = True
    streams: bool = True


class Lesson(Struct, frozen=True):
    """Another form to try, and the settings that would have saved the call that taught it."""

    form: RequestForm
    setting: str


def lesson_in(
    error: ProviderError, form: RequestForm, tried: Sequence[RequestForm]
) -> Lesson | None:
    """Return the form that an error asks for; None if it is about something else.

    Shape: `tried` are the forms that the server has refused already, so that none comes twice.
    """
    if error.status not in {400, 404, 405, 415, 422, 500, 501, None}:
        return None
    text = f"{error.message} {' '.join(error.codes)}"
    if not _UNKNOWN.search(text):
        return None
    for lesson in _lessons(text, form):
        if lesson.form not in tried:
            return lesson
    return None


def _lessons(text: str, form: RequestForm) -> list[Lesson]:
    lessons: list[Lesson] = []
    if form.stream_options and re.search(r"\bstream_options\b|\binclude_usage\b", text):
        lessons.append(Lesson(replace(form, stream_options=False), "stream_options = false"))
    if re.search(rf"\b{form.max_tokens_field}\b", text):
        is_new = form.max_tokens_field == "max_completion_tokens"
        other: MaxTokensField = "max_tokens" if is_new else "max_completion_tokens"
        lessons.append(
            Lesson(replace(form, max_tokens_field=other), f'max_tokens_field = "{other}"')
        )
    if form.system_role and _SYSTEM_ROLE.search(text):
        lessons.append(Lesson(replace(form, system_role=False), "system_role = false"))
    if form.streams and _STREAMING.search(text):
        plain = replace(form, streams=False, stream_options=False)
        lessons.append(Lesson(plain, "streaming = false"))
    return lessons
