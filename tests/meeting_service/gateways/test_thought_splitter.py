"""Thoughts are not speech: tags of every kind, wherever the pieces are cut."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_service.gateways.thought_splitter import ThoughtSplitter


def split(*pieces: str, is_cut: bool = False, **settings: bool) -> tuple[str, str]:
    """Return the speech and the thought of an answer, as it is stored."""
    splitter = ThoughtSplitter(**settings)
    speech, thought = "", ""
    parts = [*((splitter.add, piece) for piece in pieces), (None, "")]
    for add, piece in parts:
        part = splitter.end(is_cut=is_cut) if add is None else add(piece)
        if splitter.is_retracted:
            splitter.is_retracted = False
            speech, thought = "", thought + speech
        speech += part.speech
        thought += part.thought
    return speech, thought.strip()


def each_letter(text: str) -> list[str]:
    return list(text)


MARKED = [
    "<think>{}</think>",
    "<think>\n{}\n</think>\n\n",
    "<THINK>{}</Think>",
    "<thinking>{}</thinking>\n",
    "<thought>{}</thought>",
    "<reasoning>{}</reasoning>",
    "<think>{}</thinking>",
    "\n\n<think >{}</think >\n",
    "<seed:think>{}</seed:think>",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel>thought\n{}<channel|>",
    "{}</think>",
    "{}\n</think>\n\n",
    "{}[/THINK]",
    "{}</thinking>\n",
    "<think>{}</think>\n\n</think>\n",
]


@pytest.mark.parametrize("form", MARKED)
@pytest.mark.parametrize("cut", [lambda text: [text], each_letter])
def test_a_thought_at_the_head_is_no_speech(form, cut):
    answer = form.format("He wants 1 < 2, [so] I say yes.") + "Yes, we ship."
    speech, thought = split(*cut(answer))
    assert speech.strip() == "Yes, we ship."
    assert thought.startswith("He wants 1 < 2, [so] I say yes.")


SPOKEN_OF = "I name <think> and </think> tags."


@pytest.mark.parametrize(
    ("answer", "speech", "thought"),
    [
        ("<think></think>Yes.", "Yes.", ""),
        ("Yes.<|return|>", "Yes.", ""),
        ("<think>a</think>Yes.<|end|>\n", "Yes.", "a"),
        ("Yes <|end|> is a mark.", "Yes <|end|> is a mark.", ""),
        ("<think>\n\n</think>\n\nYes.", "Yes.", ""),
        ("<think>one</think>Yes.\n<think>two</think>No.", "Yes.\nNo.", "onetwo"),
        ("<think>one</think>Yes. <think>two</think>No.", "Yes. No.", "onetwo"),
        ("Let me see.\n<think>one</think>\nYes.", "Let me see.\nYes.", "one"),
        ("Let me see. <think>one</think>Yes.", "Let me see. Yes.", "one"),
        ("Sure. <think>x</think> y", "Sure. y", "x"),
        ("I say yes.</think> Yes.", "Yes.", "I say yes."),
        ("so yes</think>**Yes**", "**Yes**", "so yes"),
        ("I name <think> and </think> tags.\n</think>\nYes.", "Yes.", SPOKEN_OF),
        ('so I say "yes"</think>Yes.', "Yes.", 'so I say "yes"'),
        ('so I say yes</think>"Yes", I say.', '"Yes", I say.', "so I say yes"),
        ("the tag `</think>` ends it</think>Yes.", "Yes.", "the tag `</think>` ends it"),
        ("<think>a `</think>` b</think>Yes.", "Yes.", "a `</think>` b"),
        ("<think>a</think>b</think>Yes.", "Yes.", "ab"),
    ],
)
def test_answers_with_thoughts_in_odd_places(answer, speech, thought):
    assert split(answer) == (speech, thought)
    assert split(*each_letter(answer)) == (speech, thought)


@pytest.mark.parametrize(
    "answer",
    [
        "No tags: 1 < 2, a[0], <b>bold</b>, [THIN], <thin",
        "Write `<think>` and `</think>` around it.",
        'The model ends its thoughts by "</think>" first.',
        "Strip <think> and </think> tags. Ok.",
        "Strip </think> tags, and [/THINK] ones. Ok.",
        "A stray </think>, or (</think>), or a </thinking>-tag, is dropped.\nOk.",
        "It ends with </think>. Then comes the answer.",
        "There are two. <think> opens it and </think> closes it.",
        "Between <reasoning> and\n</reasoning>\nstand the thoughts.",
        "Wrap it so: x <think>y</think>z.",
        "Use it so:\n```\n<think>\nhm\n</think>\n```\nThen answer.",
        "~~~xml\n<reasoning>\n</reasoning>\n~~~",
        "  Indented.\n\n\n",
        "We speak of\n<think>\nwithout ever closing it.",
        "<thinker>a</thinker>",
        "",
    ],
)
def test_speech_that_looks_like_it_is_left_alone(answer):
    assert split(answer) == (answer, "")
    assert split(*each_letter(answer)) == (answer, "")


@pytest.mark.parametrize(
    ("answer", "speech", "thought"),
    [
        ("<think>and then I", "", "and then I"),
        ("<think>and then I</thi", "", "and then I</thi"),
        ("Yes.\n<think>and then I", "Yes.\n", "<think>and then I"),
    ],
)
def test_a_cut_in_a_thought_leaves_no_thought_in_the_speech(answer, speech, thought):
    assert split(answer, is_cut=True) == (speech, thought)
    assert split(*each_letter(answer), is_cut=True) == (speech, thought)


class TestOfAModelWhosePromptBeginsTheThought:
    @pytest.mark.parametrize("cut", [lambda text: [text], each_letter])
    def test_nothing_of_it_is_shown(self, cut):
        splitter = ThoughtSplitter(begins_in_thought=True)
        shown = [splitter.add(piece).speech for piece in cut("I say yes.\n</think>\n\nYes.")]
        assert not splitter.is_retracted
        assert splitter.began_in_thought
        assert "".join(shown) + splitter.end().speech == "Yes."

    def test_an_answer_without_any_thought_is_speech(self):
        assert split("Yes, ", "we do.", begins_in_thought=True) == ("Yes, we do.", "")

    def test_an_answer_that_was_cut_was_still_a_thought(self):
        assert split("I think", is_cut=True, begins_in_thought=True) == ("", "I think")

    def test_a_tag_that_opens_it_all_the_same_is_no_part_of_it(self):
        answer = "<think>I say yes.</think>Yes."
        assert split(answer, begins_in_thought=True) == ("Yes.", "I say yes.")
        assert split(*each_letter(answer), begins_in_thought=True) == ("Yes.", "I say yes.")

    def test_what_waits_is_counted(self):
        splitter = ThoughtSplitter(begins_in_thought=True)
        splitter.add("x" * 1_000)
        assert 900 < splitter.held_characters <= 1_000


def test_the_work_grows_as_the_text_does():
    answer = "```\n" + "<think>\n" * 20_000
    started = process_time()
    assert split(answer) == (answer, "")
    assert split("Yes.\n" + "<think>a</think>b" * 5_000)[0] == "Yes.\n" + "b" * 5_000
    assert split("Name <think> and </think>. " * 5_000)[1] == ""
    assert process_time() - started < 4


PARTS = ["<think>", "</think>", "[THINK]", "[/THINK]", "Yes. ", "\n", "`", '"', "```\n", "<", "a"]


@given(st.lists(st.sampled_from(PARTS), max_size=12), st.booleans(), st.booleans(), st.data())
def test_any_cutting_gives_the_same(parts, begins, is_cut, data):
    answer = "".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(answer)))))
    pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    settings = {"is_cut": is_cut, "begins_in_thought": begins}
    (speech, thought), whole = split(*pieces, **settings), split(answer, **settings)
    # In which order stray thoughts are kept matters to nobody.
    assert (speech, sorted(thought)) == (whole[0], sorted(whole[1]))
