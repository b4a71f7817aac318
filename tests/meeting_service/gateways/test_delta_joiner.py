"""Text once: pieces that add, pieces that repeat the text so far, and those that look alike."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_service.gateways.delta_joiner import DeltaJoiner

SENTENCE = "I would ship on Monday, and keep a day of slack for what we do not know."


def join(*pieces: str) -> tuple[str, list[str]]:
    """Return the text, and what was shown at each piece."""
    joiner = DeltaJoiner()
    shown = [joiner.add(piece) for piece in pieces]
    return "".join(shown) + joiner.end(), shown


def states(text: str, *lengths: int) -> list[str]:
    return [text[:length] for length in lengths]


@pytest.mark.parametrize(
    "pieces",
    [
        states(SENTENCE, 1, 3, 9, 20, 30, len(SENTENCE)),
        states(SENTENCE, *range(1, len(SENTENCE) + 1)),
        states(SENTENCE, 30, 40, len(SENTENCE)),
        states(SENTENCE, 30, len(SENTENCE)),
        # The same state more than once, the whole at the end once more, and an older one.
        [*states(SENTENCE, 10, 10, 20, 20, len(SENTENCE)), SENTENCE],
        [*states(SENTENCE, 10, 20, 30, 25, len(SENTENCE)), SENTENCE],
        # Plain pieces, and then the whole: as it is, trimmed, with the last words in it alone.
        [SENTENCE[:30], SENTENCE[30:50], SENTENCE[50:], SENTENCE],
        [" " + SENTENCE[:30], SENTENCE[30:50], SENTENCE[50:] + "\n", SENTENCE],
        [SENTENCE[:30], SENTENCE[30:50], SENTENCE],
        ["I w", "I would", SENTENCE],
    ],
)
def test_what_is_repeated_is_there_once(pieces: list[str]) -> None:
    assert join(*pieces)[0].strip() == SENTENCE


@pytest.mark.parametrize("pieces", [["Yes", "Yes."], ["I", "I do."], ["No", "No", "No, we do."]])
def test_short_answers_in_two_states(pieces: list[str]) -> None:
    is_plain = pieces[0] == pieces[1]
    assert join(*pieces)[0] == ("".join(pieces) if is_plain else pieces[-1])


def test_a_half_decoded_character_is_replaced_by_the_whole_one() -> None:
    pieces = ["Gr\ufffd", "Grün\ufffd\ufffd", "Grüne 漢字, s", "Grüne 漢字, so."]
    assert join(*pieces)[0] == "Grüne 漢字, so."


def test_a_state_that_was_revised_does_not_double_the_text() -> None:
    text = "I think teh end is near, and so do you."
    right = text.replace("teh", "the")
    joined, _ = join(text[:5], text[:8], text[:11], right[:20], right[:30], right)
    assert len(joined) <= len(right) + 3
    assert joined.endswith(right[12:])


@pytest.mark.parametrize(
    "pieces",
    [
        ["ha", "ha", "haha"],
        ["ha", "haha", "!"],
        ["ha", "haha"],
        ["no", ", no", ", no, no"],
        ["1", "1", "10", "100"],
        ["1", "10"],
        ["-", "--", "----", "--------", "----------------"],
        [" ", "  ", "    ", "        ", "                ", "x"],
        ["print(x)\n", "print(x)\nprint(y)\n", "print(z)\n"],
        ["print(x)\n", "print(x)\n", "print(x)\n"],
        ["print(x)\n", "print(x)\n", "print(y)\n", "print(x)\n"],
        ["| a |\n", "| a | b |\n", "| c |\n"],
        ["Yes. ", "Yes. ", "Yes. "],
        ["The ", "The The", " are a band."],
        ["A", "B", "AB"],
        ["We agree.", " ", "We agree."],
        ["�", "�", "a"],
        ["We will ship it. ", "We will test. ", "We will ship it. We will test. ", "Done."],
        ["We will ship it. ", "We will test. ", "We will ship it. We will test. Ok. ", "Done."],
        ["- one thing\n", "- another one\n", "- one thing\n- another one", "\n", "So."],
        [SENTENCE, SENTENCE],
        [SENTENCE, SENTENCE, "So."],
    ],
)
def test_ordinary_text_that_repeats_itself_is_left_alone(pieces: list[str]) -> None:
    assert join(*pieces)[0] == "".join(pieces)


def test_two_equal_pieces_are_one_if_the_model_wrote_no_more() -> None:
    joiner = DeltaJoiner()
    assert joiner.add(SENTENCE) + joiner.add(SENTENCE) == SENTENCE
    assert joiner.end(is_said_once=True) == ""


@pytest.mark.parametrize(
    "piece", ["--------", "=" * 40, "I will say it again. ", "\n" * 9, "ab" * 999]
)
def test_a_piece_that_comes_for_ever_is_new_text_soon(piece: str) -> None:
    joiner = DeltaJoiner()
    shown = "".join(joiner.add(piece) for _ in range(100))
    assert shown == piece * 100
    assert joiner.is_settled
    assert joiner.held_characters == 0


def test_pieces_that_grow_for_ever_by_chance_are_new_text_soon() -> None:
    joiner = DeltaJoiner()
    pieces = ["-" * length for length in range(1, 100)]
    assert sum(len(joiner.add(piece)) for piece in pieces) == sum(map(len, pieces))


def test_the_work_grows_as_the_text_does() -> None:
    started = process_time()
    joiner = DeltaJoiner()
    for number in range(20_000):
        joiner.add(f"A line with a <tag> and number {number}\n")
    assert process_time() - started < 1


def test_long_states_are_told_from_new_text_all_the_same() -> None:
    text = "".join(f"{number} " for number in range(5_000))
    assert join(*states(text, 6_000, 9_000, 15_000, len(text)))[0] == text


def test_pieces_are_shown_as_they_come() -> None:
    assert join("Let", " us", " begin")[1] == ["Let", " us", " begin"]
    assert join(*states(SENTENCE, 3, 8, 20, 30))[1] == [
        SENTENCE[:3],
        "",
        SENTENCE[3:20],
        SENTENCE[20:30],
    ]


@given(st.lists(st.text("abcdefgh \n", min_size=1, max_size=12), min_size=3, max_size=20))
def test_pieces_of_which_none_begins_with_the_text_so_far_are_joined(pieces: list[str]) -> None:
    whole = "x"
    for piece in pieces:
        if piece.startswith(whole[:1]):
            return
    assert join("x", *pieces)[0] == "x" + "".join(pieces)


@given(st.text(min_size=12, max_size=60), st.data())
def test_states_of_any_text_give_the_text(text: str, data: st.DataObject) -> None:
    text = "Well, then: " + text.replace("\ufffd", "")
    cuts = sorted(data.draw(st.sets(st.integers(4, len(text)), min_size=2)))
    assert join(*states(text, *cuts, len(text)))[0] == text


def test_a_message_after_its_pieces_adds_what_they_lack() -> None:
    for given_as_whole in (SENTENCE, "Something else."):
        joiner = DeltaJoiner()
        shown = joiner.add("I would ") + joiner.add("ship")
        shown += joiner.add_whole(given_as_whole)
        assert shown == (SENTENCE if given_as_whole == SENTENCE else "I would ship")
