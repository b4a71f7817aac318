"""What servers refuse of the form of a request, in many words, and what is no such lesson."""

from typing import Any

import pytest

from meeting_service.gateways.provider_errors import error_in
from meeting_service.gateways.request_forms import RequestForm, lesson_in
from tests.meeting_service.gateways.recorded_errors import recorded
from tests.meeting_service.gateways.wire_peer import error

FORM = RequestForm()
SETTINGS = {
    "max_tokens": 'max_tokens_field = "max_tokens"',
    "stream_options": "stream_options = false",
    "system_role": "system_role = false",
    "streaming": "streaming = false",
}


@pytest.mark.parametrize(
    ("part", "status", "body"), recorded("request_forms", "part", "status", "body")
)
def test_what_a_server_does_not_take(part: str, status: int, body: Any) -> None:
    lesson = lesson_in(error_in(body, status), FORM, [FORM])
    assert lesson is not None
    assert lesson.setting == SETTINGS[part]
    assert lesson.form != FORM


@pytest.mark.parametrize(("status", "body"), recorded("no_request_forms", "status", "body"))
def test_what_is_no_matter_of_form(status: int, body: Any) -> None:
    assert lesson_in(error_in(body, status), FORM, [FORM]) is None


def test_a_lesson_is_learnt_inside_a_stream_too() -> None:
    said = error_in(error("System role not supported"))
    lesson = lesson_in(said, FORM, [FORM])
    assert lesson is not None
    assert not lesson.form.system_role


def test_a_server_that_refuses_both_names_of_the_cap_teaches_no_third() -> None:
    first = lesson_in(error_in(error("unknown field max_completion_tokens"), 400), FORM, [FORM])
    assert first is not None
    again = error_in(error("unknown field max_tokens"), 400)
    assert lesson_in(again, first.form, [FORM, first.form]) is None


def test_the_new_name_of_the_cap_is_learnt_too() -> None:
    old = RequestForm("max_tokens")
    said = error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    lesson = lesson_in(error_in(said, 400), old, [old])
    assert lesson is not None
    assert lesson.setting == 'max_tokens_field = "max_completion_tokens"'


def test_a_model_that_only_streams_is_streamed() -> None:
    plain = RequestForm(streams=False)
    said = error("This model only support stream mode, please enable the stream parameter")
    lesson = lesson_in(error_in(said, 400), plain, [plain])
    assert lesson is not None
    assert lesson.form == FORM


def test_each_lesson_leaves_the_others_as_they_were() -> None:
    form, tried = FORM, [FORM]
    for part in ("stream_options", "max_completion_tokens", "system role", "'stream'"):
        lesson = lesson_in(error_in(error(f"{part} is not supported"), 400), form, tried)
        assert lesson is not None
        form = lesson.form
        tried.append(form)
    assert form == RequestForm("max_tokens", stream_options=False, system_role=False, streams=False)
    assert len(set(tried)) == 5
