"""The table of how near the estimate of tokens comes is what the benchmark measures."""

import pytest

from bench.tokens import EXCEPTIONS, PAGE, main, start_table, table, with_tables


def test_the_table_on_the_page_is_what_is_measured():
    page = PAGE.read_text("utf-8")
    made = (table(), start_table())
    assert with_tables(page, made) == page, "run: python bench/tokens.py --write"


def test_a_table_is_written_between_its_marks_and_nowhere_else(tmp_path, monkeypatch):
    copy = tmp_path / PAGE.name
    page = PAGE.read_text("utf-8")
    copy.write_text(with_tables(page, ("| old |\n", "| older |\n")), "utf-8")
    monkeypatch.setattr("bench.tokens.PAGE", copy)
    main(["--write"])
    assert copy.read_text("utf-8") == page


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="lacks the marks"):
        with_tables("# A page\n", (table(),))


def test_every_exception_is_named_on_the_page():
    text = PAGE.read_text("utf-8").lower()
    assert all(f"| {name} |" in text for name in EXCEPTIONS)
