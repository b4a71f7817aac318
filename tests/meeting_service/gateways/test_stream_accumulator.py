"""What is shown and kept of an answer as its pieces come."""

from time import process_time

import pytest

from meeting_core.model import ReportedUsage
from meeting_service.gateways.stream_accumulator import Answer


def take(answer: Answer, *pieces: str, finish_reason: str = "stop") -> list[str]:
    """Return what was shown at each piece, and at the end."""
    shown = [answer.add(piece) for piece in pieces]
    answer.add("", finish_reason=finish_reason)
    return [*shown, answer.end()]


class TestAnAnswerThatMayBeginInThought:
    def test_nothing_of_its_thought_is_shown(self) -> None:
        answer = Answer(100, 1_000, may_begin_in_thought=True)
        shown = take(answer, "I say", " yes", ".\n</think>\n", "Yes, ", "we do.")
        assert "".join(shown) == answer.text == "Yes, we do."
        assert shown[:2] == ["", ""]
        assert answer.thought == "I say yes."
        assert answer.began_in_thought

    @pytest.mark.parametrize("finish_reason", ["stop", "length"])
    def test_it_is_speech_without_a_tag_cut_or_not(self, finish_reason: str) -> None:
        answer = Answer(100, 1_000, may_begin_in_thought=True)
        assert "".join(take(answer, "Yes, ", "we", finish_reason=finish_reason)) == "Yes, we"
        assert (answer.text, answer.thought) == ("Yes, we", "")
        assert not answer.began_in_thought

    def test_it_is_shown_once_a_thought_between_tags_is_over(self) -> None:
        answer = Answer(100, 1_000, may_begin_in_thought=True)
        shown = take(answer, "<think>hm", "</think>", "Yes, ", "we do.")
        assert shown == ["", "", "Yes, ", "we do.", ""]

    def test_it_is_bounded_as_others_are(self) -> None:
        answer = Answer(100, 1_000, may_begin_in_thought=True)
        for number in range(200):
            answer.add(f"word {number} ")
        assert answer.is_over


@pytest.mark.parametrize(
    "line", ["<think>\n", "<think>hm</think>\n", "Name <think> and </think>. ", "[/THINK]\n"]
)
def test_one_huge_piece_is_cut_before_it_is_split(line: str) -> None:
    answer = Answer(100, 10_000)
    started = process_time()
    answer.add("```\n" + line * 1_000_000)
    answer.end()
    assert process_time() - started < 1
    assert answer.is_over
    assert len(answer.text) <= 20_002


@pytest.mark.parametrize("piece", ["--------", "=" * 2_000, "I say it again. "])
def test_a_server_that_repeats_a_piece_for_ever_comes_to_its_end(piece: str) -> None:
    answer = Answer(100, 10_000)
    pieces = 0
    while not answer.is_over:
        answer.add(piece)
        pieces += 1
        assert pieces < 5_000


@pytest.mark.parametrize(("written", "times"), [(None, 2), (20, 1), (40, 2)])
def test_a_sentence_said_twice_is_one_if_the_provider_counts_but_one(
    written: int | None, times: int
) -> None:
    sentence = "I would ship on Monday, and keep a day of slack for what we do not know."
    answer = Answer(100, 1_000)
    answer.usage = ReportedUsage(completion_tokens=written)
    assert "".join(take(answer, sentence, sentence)) == answer.text == sentence * times
