"""What is kept out of the texts that leave a gateway, however a server spells it."""

import pytest

from meeting_service.gateways.redaction import MAX_DETAIL_CHARACTERS, one_line, secrets_in

KEY = "sk-Proj-aB3dE5gH7jK9-mN"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY} is wrong", "key [secret] is wrong"),
        (f"key {KEY.lower()} is wrong", "key [secret] is wrong"),
        (f"key {KEY.upper()}", "key [secret]"),
        (f"key {KEY[:8]}... is wrong", "key [secret]... is wrong"),
        (f"key {KEY[:15]}*** is wrong", "key [secret]*** is wrong"),
        (f"key {KEY[:10]}\n{KEY[10:]} is wrong", "key [secret] is wrong"),
        (f"key {KEY[:3]}\r\n  {KEY[3:]}", "key [secret]"),
        (f"key {KEY[:10]}\u200b{KEY[10:]}", "key [secret]"),
        ("key " + KEY[:10] + r"\n" + KEY[10:], "key [secret]"),
        ("key " + KEY.replace("-", r"\u002d") + " is wrong", "key [secret] is wrong"),
        ("key " + KEY.replace("-", r"\\u002D"), "key [secret]"),
        ("key " + KEY.replace("-", r"\x2d"), "key [secret]"),
        ("key " + KEY.replace("-", "%2D") + "!", "key [secret]!"),
        ("key " + KEY.replace("-", "&#45;"), "key [secret]"),
        ("key " + "".join(f"&#x{ord(each):x};" for each in KEY), "key [secret]"),
        (f"{KEY}{KEY[:9]}, {KEY}", "[secret][secret], [secret]"),
        (f"key {KEY[:7]} and more", f"key {KEY[:7]} and more"),
        (r"a path C:\new\u12 is shown %zz &#9999999; \\", None),
        ("", ""),
    ],
)
def test_a_key_is_not_shown_however_it_is_spelt(text: str, shown: str | None) -> None:
    assert one_line(text, (KEY,)) == (text if shown is None else shown)


def test_a_short_secret_is_looked_for_as_a_whole() -> None:
    assert one_line("Hunter22 and hunter2", ("hunter22",)) == "[secret] and hunter2"


def test_the_head_of_an_address_is_no_secret() -> None:
    said = one_line("https://api.example answered 400", ("https://app.example/title",))
    assert said == "https://api.example answered 400"


def test_the_key_of_a_header_is_kept_back_without_its_scheme() -> None:
    secrets = secrets_in("", {"Authorization": f"Bearer {KEY}"}, "http://h/v1", {})
    assert one_line(f"bad key {KEY}", secrets) == "bad key [secret]"


def test_a_key_in_a_long_text_is_never_shown_at_its_cut() -> None:
    for length in range(MAX_DETAIL_CHARACTERS - 40, MAX_DETAIL_CHARACTERS + 5):
        assert KEY[:8].lower() not in one_line("x" * length + KEY.lower(), (KEY,))
