"""Texts from files and environments: byte order marks, quotes, invisible characters."""

import codecs

import pytest

from meeting_service.text_input import UnreadableText, clean_key, clean_value, decode_text

TEXT = 'title = "Größe, 会議"\nnext = 1\n'


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_text_is_decoded_by_its_mark(mark: bytes, encoding: str, line_end: str) -> None:
    written = mark + TEXT.replace("\n", line_end).encode(encoding)
    assert decode_text(written) == TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("marks", [2, 3])
def test_all_marks_before_a_text_are_left_out(encoding: str, marks: int) -> None:
    assert decode_text((marks * "\ufeff" + TEXT).encode(encoding)) == TEXT


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Größe".encode("latin-1"), "is not UTF-8"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        ("plain".encode("utf-16-be"), "UTF-16"),
        (codecs.BOM_UTF16_LE + b"odd", "is not UTF-16"),
        (codecs.BOM_UTF8 + b"\xff", "is not UTF-8"),
    ],
    ids=["latin-1", "utf-16 without a mark", "big endian", "half a character", "marked latin-1"],
)
def test_what_is_no_text_is_named_with_what_to_do(content: bytes, says: str) -> None:
    with pytest.raises(UnreadableText, match="save it as UTF-8") as refusal:
        decode_text(content)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "written",
    [
        "sk-1",
        '"sk-1"',
        "'sk-1'",
        "`sk-1`",
        "\u201csk-1\u201d",
        "\u2018sk-1\u2019",
        ' "sk-1" ',
        '" sk-1 "',
        "'\"sk-1\"'",
        '"sk-1"\r\n',
        "\tsk-1\n\n",
        "\ufeffsk-1\n",
        "\u200bsk-1\u200b",
        "\u00a0'sk-1'\u00a0",
        "\u2060\u200e sk-1\u3000",
        "sk-1\x00\x1b",
    ],
)
def test_what_was_put_around_a_value_is_taken_off(written: str) -> None:
    assert clean_value(written) == clean_key(written.replace("\x00\x1b", "")) == "sk-1"


@pytest.mark.parametrize(
    "written",
    ['"sk-1', "sk-1'", "\"sk-1'", 'a"b"c', '"a" "b"', "'a'b'", '"', "it's", "\u201da\u201c"],
)
def test_quotes_that_do_not_match_around_the_whole_stay(written: str) -> None:
    assert clean_value(written) == written


@pytest.mark.parametrize("written", ["", " ", '""', "''", '" "', "\ufeff", "\u200b\n", "'\"\"'"])
def test_quotes_around_nothing_are_nothing(written: str) -> None:
    assert clean_value(written) == clean_key(written) == ""


def test_invisible_characters_inside_a_key_are_taken_out() -> None:
    assert clean_key("sk\u200b-\u2060a\ufeffb\u00adc\u202e") == "sk-abc"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("sk-1 sk-2", "a blank as its character 5 of 9"),
        ("sk-1\nsk-2", "a line break"),
        ("sk-1\u00a0x", "a blank"),
        ("sk-ключ", "U+043A"),
        ("sk-\u2026", "U+2026"),
        ("sk-\x07x", "U+0007"),
    ],
)
def test_what_no_key_holds_is_named_without_the_key(written: str, says: str) -> None:
    with pytest.raises(ValueError, match="which no API key does") as refusal:
        clean_key(written)
    assert says in str(refusal.value)
    assert "sk-" not in str(refusal.value)
