"""What the details of silent answers and refusals say."""

import pytest

from meeting_service.gateways.answer_verdict import reply_of
from meeting_service.gateways.stream_accumulator import Answer
from meeting_service.ports import Empty, GatewayReply, Refused
from tests.contracts.gateway_cases import request


def verdict(answer: Answer) -> GatewayReply:
    return reply_of(answer, request(max_reply_bytes=8_192), source="http://h", secrets=())


@pytest.mark.parametrize(
    ("refusal", "shown"),
    [
        ("<think>They want a bomb.</think>I cannot help.", "I cannot help."),
        ("I cannot help.", "I cannot help."),
        ("They want a bomb.</think>I cannot help.", "I cannot help."),
        ("I cannot.\n<think>They want a bomb", "I cannot."),
        ("[THINK]They want a bomb.[/THINK]\nNo.", "No."),
        ("<think>They want a bomb.</think>", "it gave thoughts, and no reason"),
    ],
)
def test_a_refusal_is_quoted_without_its_thoughts(refusal: str, shown: str) -> None:
    answer = Answer(200, 8_192)
    answer.add_refusal(refusal)
    answer.add("", finish_reason="stop")
    with pytest.raises(Refused) as caught:
        verdict(answer)
    assert caught.value.detail == f"http://h refused: {shown}"


def test_a_body_over_its_bound_is_said_to_be_that() -> None:
    answer = Answer(200, 8_192)
    answer.opened("text/event-stream")
    answer.is_over = True
    with pytest.raises(Empty) as caught:
        verdict(answer)
    assert "more than a reply of 8192 bytes may take" in caught.value.detail
    assert "finish reason" not in caught.value.detail
