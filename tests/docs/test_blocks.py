"""Every code block in the README and the documentation is run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from tests.conftest import short_temporary_folder
from tests.docs.blocks import ROOT, blocks_of, pages
from tests.docs.reader import Reader, assert_like
from tests.model_peer import ModelPeer

WITH_BLOCKS = [str(page.relative_to(ROOT)) for page in pages() if list(blocks_of(page))]

MODELS_WRITTEN_DOWN = ("https://api.openai.com/v1", "http://127.0.0.1:18789/v1")


@pytest.fixture(scope="session")
def state_home() -> Iterator[Path]:
    """Where embedded databases are kept, so that one serves all pages."""
    folder = short_temporary_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """A server that speaks OpenAI's chat completions."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(ModelPeer().listening()) as url,
    ):
        yield url


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_every_block_of_a_page_does_what_the_page_says(
    name: str, tmp_path: Path, state_home: Path, model_url: str, database_url: str
):
    page = ROOT / name
    translated = dict.fromkeys(MODELS_WRITTEN_DOWN, model_url)
    reader = Reader(tmp_path, state_home, database_url, translated)
    try:
        for block in blocks_of(page):
            try:
                reader.do(block)
            except Exception as error:
                error.add_note(f"in the block at {name}:{block.line}")
                raise
    finally:
        reader.close()


def test_a_wrong_sample_of_an_answer_is_noticed():
    assert_like({"a": [1, "..."]}, {"a": [1, {"any": "thing"}], "more": 2})
    for wrong in ({"b": 1}, {"a": [1]}, {"a": ["1", "..."]}, {"a": [2, "..."]}):
        with pytest.raises(AssertionError):
            assert_like(wrong, {"a": [1, "x"]})
