"""A reply over its cap: kept in the event as it came, quoted no longer than its cap."""

import pytest

from meeting_core import Fact, Usage, build_brief, estimate_tokens
from meeting_core.model import (
    AcceptReply,
    Complete,
    Completed,
    Outcome,
    Reply,
    SynthesisStarted,
    TurnCompleted,
)
from tests.builders import (
    as_reported,
    attempt_started,
    characters_within,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    turn,
    written,
)
from tests.spec import given

CAP = 100
ASKED = (convened(), round_opened(1), attempt_started(cap=CAP))


def text_of(tokens: int) -> str:
    """A text of at least so many tokens by our estimate, and hardly more."""
    text = "word"
    while estimate_tokens(text) < tokens:
        text += " word"
    return text


def completed(text: str, usage: Usage, cut_to: int | None) -> TurnCompleted:
    """Ann's reply; `cut_to` is the cap it passed, in tokens."""
    tokens = estimate_tokens(text)
    kept = None if cut_to is None else characters_within(text, cut_to)
    return TurnCompleted(1, "ann", 1, Reply(text, tokens, usage, "length", cut_to=kept))


@pytest.mark.parametrize(
    ("estimated", "reported", "is_over"),
    [
        (CAP - 10, CAP, False),
        (CAP - 10, CAP + 50, False),
        (CAP + 10, CAP, False),
        (CAP + 10, CAP + 1, True),
        (2 * CAP - 5, CAP, False),
        (2 * CAP + 5, CAP, True),
        (2 * CAP + 5, 1, True),
    ],
)
def test_a_reply_is_over_where_estimate_and_report_agree_or_the_estimate_is_beyond_doubt(
    estimated: int, reported: int, is_over: bool
):
    text, usage = text_of(estimated), Usage(100, reported, "reported")
    reply = AcceptReply(turn(), 1, text, "length", as_reported(usage))
    if reported == 1:  # so many words are no single token
        usage = Usage(100, estimate_tokens(text), "partly_reported")
    given(*ASKED).when(reply).then(completed(text, usage, CAP if is_over else None))


def test_without_a_report_the_estimate_decides():
    long, short = text_of(CAP + 5), text_of(CAP - 5)
    for text, cut_to in ((long, CAP), (short, None)):
        usage = Usage(100, estimate_tokens(text), "estimated")
        given(*ASKED).when(AcceptReply(turn(), 1, text, "length")).then(
            completed(text, usage, cut_to)
        )


OVER = completed(text_of(400) + " END", Usage(100, 400, "reported"), CAP)


def shown_to_bob() -> str:
    meeting = meeting_after(*ASKED, OVER)
    return build_brief(meeting, turn("bob"), "bob").messages[1].content


def test_the_event_keeps_the_whole_reply_and_briefs_quote_it_cut():
    assert OVER.reply.text.endswith(" END")
    assert "[... cut here ...]\n</turn>" in shown_to_bob()
    assert "END" not in shown_to_bob()


def test_the_turn_says_that_it_was_cut_and_is_counted_at_its_cap():
    (ended,) = meeting_after(*ASKED, OVER).turns
    assert ended.text is not None
    assert (ended.is_cut, ended.text_tokens) == (True, CAP)
    assert estimate_tokens(ended.text) <= CAP


def test_a_reply_over_its_cap_is_charged_as_reported():
    assert meeting_after(*ASKED, OVER).ledger.spent == 500


def test_a_reply_within_its_cap_is_quoted_whole():
    within = completed(text_of(CAP - 5), Usage(100, CAP, "reported"), None)
    (ended,) = meeting_after(*ASKED, within).turns
    assert (ended.is_cut, ended.text) == (False, within.reply.text)


def test_the_cap_is_the_attempts_not_the_meetings():
    facts = (convened(max_tokens_per_turn=200), round_opened(1), attempt_started(cap=50))
    text, usage = text_of(150), Usage(100, 150, "reported")
    given(*facts).when(AcceptReply(turn(), 1, text, "length", as_reported(usage))).then(
        completed(text, usage, 50)
    )


def test_even_a_reply_of_which_nothing_is_left_was_spoken():
    """A cap can be too small even for the mark that says a text was cut."""
    usage = Usage(100, 400, "reported")
    over = completed(text_of(400), usage, 4)
    opening: list[Fact] = [convened(min_tokens_per_turn=1, num_rounds=1, round_topics=("One",))]
    opening += [round_opened(1), attempt_started(cap=4)]
    given(*opening).when(
        AcceptReply(turn(), 1, over.reply.text, "length", as_reported(usage))
    ).then(over)
    facts = [*opening, over, *spoken("bob"), round_closed(1), SynthesisStarted(), *written()]
    given(*facts).when(Complete("minutes.md")).then(
        Completed(Outcome("agenda", author="ann", overrun_tokens=396), "minutes.md")
    )
