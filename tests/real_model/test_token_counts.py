"""The small vocabulary's counts that are kept as data are those of its own tokenizer."""

from bench.small_vocabulary import COUNTS, count_with, counted_texts, server_count, small_tokens


def test_the_counts_that_are_kept_are_those_of_a_running_server(real_model_url: str):
    counted = count_with(server_count(real_model_url.removesuffix("/v1")))
    kept = count_with(small_tokens)
    assert counted == kept, f"run: python bench/small_vocabulary.py URL, and commit {COUNTS.name}"
    assert len(kept) == len({*counted_texts()})
