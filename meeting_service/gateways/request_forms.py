"""What a server was found not to know of our requests, so that it is asked in another form.

Servers that speak OpenAI's API differ in the name of the output cap, in whether they report usage
in streams, in the roles their chat templates know, and in whether they stream at all.
"""

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from meeting_service.gateways.asked_waits import MAX_READ_CHARACTERS
from meeting_service.gateways.provider_errors import ProviderError
from meeting_service.gateways.provider_phrases import without_model

MaxTokensField: TypeAlias = Literal["max_completion_tokens", "max_tokens"]

# That a field is not known at all, whatever its value.
_UNKNOWN_FIELD = (
    r"\bun(?:known|supported|recognized|recognised|expected)\b"
    r"|\bextra(?:_forbidden| inputs| fields)\b|\badditional propert"
    r"|\b(?:no such|cannot find) (?:field|parameter|argument)"
    r"|\binvalid (?:field|parameter|argument|property|key)\b|\buse ['\"`]?max_|不支持|未知"
)
# That something is not taken: a field, or a value of it.
_NOT_TAKEN = re.compile(
    rf"{_UNKNOWN_FIELD}|\bunpermitted\b|\bnot (?:a )?(?:permitted|allowed|supported|recognized"
    r"|recognised|known|valid|enabled|expected|available|defined|accepted|implemented|compatible)\b"
    r"|\b(?:does|do|is|are|can)(?:n.t| not)\b[^.]{0,30}\b(?:support|accept|allow|know|take"
    r"|recogni[sz]e|permit)|\bcannot be (?:used|set|specified)\b"
    r"|\bonly (?:the )?(?:user|roles?|allowed|supported|valid|permitted|accepted)\b"
    r"|\binvalid (?:role|value)\b|\bmust (?:alternate|be)\b|\bshould be\b|\bdeprecated\b"
    r"|\b(?:is not|expected) one of\b|\bforbidden\b|\brequired\b|\bmissing\b",
    re.IGNORECASE,
)
_FIELD_IS_UNKNOWN = re.compile(_UNKNOWN_FIELD, re.IGNORECASE)
_ABOUT_VALUE = re.compile(
    r"\b(?:max|min)imum\b|\bat (?:most|least)\b|\b(?:less|greater|lower|higher) than\b|\brange\b"
    r"|\bbetween\b|\btoo (?:large|small|high|low)\b|\bexceed|\b(?:above|below)\b|\binteger\b"
    r"|\bpositive\b|<=|>=|\bfewer\b|\bor (?:more|less|greater|higher|lower)\b|\bmultiple of\b"
    r"|\bvalues?\W{0,3}\d|\binvalid value (?:for|of)\b|_tokens['\"`]?\s*[=:]?\s*\d"
    r"|\b(?:must|should) (?:be|have)\b[^.;]{0,30}\d",
    re.IGNORECASE,
)
_SYSTEM_ROLE = re.compile(
    r"\b(?:system|developer)['\"`]?[ _]?(?:roles?|messages?|prompts?|instructions?)\b"
    r"|\broles?\b[^.;]{0,80}\b(?:system|developer|alternate)\b|\broles?\b[^;]{0,40}\buser\b"
    r"|['\"`](?:system|developer)['\"`][^;]{0,80}\broles?\b"
    r"|\bonly (?:the )?['\"]?user['\"]?[^.;]{0,40}\broles?\b"
    # Of a value that is not taken, without a word of roles.
    r"|\b(?:invalid|unknown|unsupported|unexpected)\b[^.;]{0,30}['\"`](?:system|developer)['\"`]"
    r"|['\"`](?:system|developer)['\"`][^;]{0,80}['\"`]user['\"`]",
    re.IGNORECASE,
)
# A system role that is known, though what stands there is not taken.
_SYSTEM_CONTENT = re.compile(
    r"\bviolat|\bharmful|\bunsafe\b|\bsafety\b|\bmoderat|\bguidelines?\b|\binappropriate\b"
    r"|\bcontain|\bblocked\b|\bjailbreak|\bflagged\b"
    r"|\b(?:content|usage|use|our|safety)[ _-]polic|\bcontent[ _-]filter"
    r"|\btoo (?:long|large)\b|\bexceed|\bcharacters\b|\blength\b"
    r"|\b(?:prompt|message)s? (?:is|are) (?:required|missing|empty)\b"
    r"|\b(?:missing|requires?|required) (?:an? |the )?(?:system|developer)\b",
    re.IGNORECASE,
)
_STREAMING = re.compile(
    r"(?:['\"`]|\bbody\.)stream['\"`]?(?![\w.])|\bstream\s?[=:]|\bstream: "
    r"|\bverified to stream\b|\bstream(?:ing)?(?: mode)?(?: is| are)? not (?:yet )?(?:supported"
    r"|allowed|permitted|implemented|enabled|compatible|accepted)"
    r"|\b(?:not|n.t) (?:yet )?(?:support|allow|permit|accept|implement)[^.;]{0,20}"
    r"\bstream(?:ing|s)?\b"
    r"|不支持流",
    re.IGNORECASE,
)
_ONLY_STREAMING = re.compile(r"\bonly supports? (?:the )?stream", re.IGNORECASE)


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
    text = without_model(f"{error.message[:MAX_READ_CHARACTERS]} {' '.join(error.codes)}")
    lessons = [] if not _NOT_TAKEN.search(text) else _lessons(text, form)
    if not form.streams and _ONLY_STREAMING.search(text):
        lessons.append(Lesson(replace(form, streams=True), "streaming = true"))
    return next((each for each in lessons if each.form not in tried), None)


def _lessons(text: str, form: RequestForm) -> list[Lesson]:
    lessons: list[Lesson] = []
    if form.stream_options and re.search(r"\bstream_options\b|\binclude_usage\b", text):
        lessons.append(Lesson(replace(form, stream_options=False), "stream_options = false"))
    is_new = form.max_tokens_field == "max_completion_tokens"
    other: MaxTokensField = "max_tokens" if is_new else "max_completion_tokens"
    if _refuses_field(text, form.max_tokens_field) or _misses_field(text, other):
        lessons.append(
            Lesson(replace(form, max_tokens_field=other), f'max_tokens_field = "{other}"')
        )
    if form.system_role and _SYSTEM_ROLE.search(text) and not _SYSTEM_CONTENT.search(text):
        lessons.append(Lesson(replace(form, system_role=False), "system_role = false"))
    if form.streams and _STREAMING.search(text):
        plain = replace(form, streams=False, stream_options=False)
        lessons.append(Lesson(plain, "streaming = false"))
    return lessons


def is_about_value(text: str) -> bool:
    """Return whether a text finds fault with how much a field says, not with the field."""
    return bool(_ABOUT_VALUE.search(text)) and not _FIELD_IS_UNKNOWN.search(text)


def _refuses_field(text: str, field: str) -> bool:
    """Return whether a field is not known; a value of it that is out of its bounds is."""
    return bool(re.search(rf"\b{field}\b", text)) and not is_about_value(text)


def _misses_field(text: str, field: str) -> bool:
    misses = (
        rf"\b{field}\b[^.;]{{0,40}}\b(?:required|missing)\b"
        rf"|\b(?:required|missing)\b[^.;,]{{0,40}}\b{field}\b"
    )
    return bool(re.search(misses, text, re.IGNORECASE))
