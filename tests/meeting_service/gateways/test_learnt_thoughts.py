"""What a gateway learns of a model whose prompt opens its thought, and forgets."""

import pytest

from meeting_service.gateways.openai_compatible import OpenAICompatible
from tests.contracts.gateway_cases import KEY, request
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Script,
    counts,
    ends,
    says,
    stream,
    wire_peer,
)

pytestmark = pytest.mark.anyio

END = (ends(), counts(300, 60), DONE)
IN_THOUGHT = stream(says("I say"), says(" yes.\n</think>\n"), says("Yes."), *END)
CUT = stream(says("We would "), says("ship"), ends("length"), counts(300, 60), DONE)
NAMES_TAGS = stream(says("Strip <think> and "), says("</think> tags. Ok."), *END)


async def answers(*scripts: Script) -> list[tuple[str, str]]:
    """Return the text of each answer, and what was shown of it, all by one gateway."""
    texts = []
    async with wire_peer(*scripts) as peer:
        gateway = OpenAICompatible(base_url=peer.base_url, api_key=KEY)
        for _ in scripts:
            deltas: list[str] = []
            reply = await gateway.complete(request(), deltas.append)
            texts.append((reply.text, "".join(deltas)))
        await gateway.aclose()
    return texts


async def test_two_answers_in_a_row_show_it() -> None:
    first, second, third = await answers(IN_THOUGHT, IN_THOUGHT, IN_THOUGHT)
    assert first == second
    assert first[0] == "Yes."
    assert first[1] != "Yes."
    assert third == ("Yes.", "Yes.")


async def test_speech_that_is_cut_is_speech_still_and_makes_it_forget() -> None:
    scripts = [IN_THOUGHT, IN_THOUGHT, CUT, IN_THOUGHT]
    texts = await answers(*scripts)
    assert texts[2] == ("We would ship", "We would ship")
    assert texts[3] == texts[0]


async def test_speech_that_names_the_tags_is_whole_and_teaches_nothing() -> None:
    text = "Strip <think> and </think> tags. Ok."
    texts = await answers(NAMES_TAGS, NAMES_TAGS, NAMES_TAGS, CUT)
    assert texts == [(text, text)] * 3 + [("We would ship", "We would ship")]
