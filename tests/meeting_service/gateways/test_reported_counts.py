"""What servers report of the tokens that a call took, in the shapes that they really send."""

from typing import Any

import pytest

from meeting_core.model import ReportedUsage
from meeting_service.gateways.reported_counts import MAX_COUNT, cached_tokens_in, usage_in


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 10,
                "total_tokens": 2110,
                "completion_tokens_details": {"reasoning_tokens": 2000},
            },
            ReportedUsage(100, 10, 2110, 2000),
        ),
        (
            {
                "input_tokens": 9,
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            ReportedUsage(9, 5, None, 3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "reasoning_tokens": 3},
            ReportedUsage(9, 5, None, 3),
        ),
        (
            {"prompt_token_count": 9, "candidates_token_count": 5, "thoughts_token_count": 3},
            ReportedUsage(9, 5, None, 3),
        ),
        (
            {
                "promptTokenCount": 9,
                "candidatesTokenCount": 5,
                "totalTokenCount": 17,
                "thoughtsTokenCount": 3,
            },
            ReportedUsage(9, 5, 17, 3),
        ),
        ({"inputTokens": 9, "outputTokens": 5, "totalTokens": 14}, ReportedUsage(9, 5, 14)),
        ({"prompt_eval_count": 9, "eval_count": 5}, ReportedUsage(9, 5)),
        ({"prompt_tokens": 9.0, "completion_tokens": 4.2}, ReportedUsage(9, 5)),
        ({"prompt_tokens": 9, "completion_tokens": 0}, ReportedUsage(9, 0)),
        ({"prompt_tokens": 9}, ReportedUsage(9, None)),
        ({"completion_tokens": 5}, ReportedUsage(None, 5)),
        ({"total_tokens": 14}, ReportedUsage(None, None, 14)),
        (
            {"prompt_tokens": None, "completion_tokens": 5, "total_tokens": 14},
            ReportedUsage(None, 5, 14),
        ),
        ({"prompt_tokens": -9, "completion_tokens": 5}, ReportedUsage(None, 5)),
        ({"prompt_tokens": True, "completion_tokens": 5}, ReportedUsage(None, 5)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": None},
            ReportedUsage(9, 5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": [1]},
            ReportedUsage(9, 5),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": float("inf"), "completion_tokens": float("nan")}, None),
        ({"prompt_tokens": "9"}, None),
        ({"prompt_tokens": 10**400, "completion_tokens": 5}, ReportedUsage(None, 5)),
        ({"prompt_tokens": -(10**400), "completion_tokens": 5}, ReportedUsage(None, 5)),
        ({"prompt_tokens": MAX_COUNT, "completion_tokens": 1e300}, ReportedUsage(MAX_COUNT)),
        (
            {
                "total_tokens": 2**63,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 10**400},
            },
            ReportedUsage(None, 5),
        ),
        ({}, None),
        ([9, 5], None),
        (14, None),
        (None, None),
    ],
)
def test_a_report(reported: Any, usage: ReportedUsage | None) -> None:
    assert usage_in(reported) == usage


@pytest.mark.parametrize(
    ("reports", "usage"),
    [
        ([{"prompt_tokens": 9, "completion_tokens": n} for n in (1, 2, 5)], ReportedUsage(9, 5)),
        ([{"prompt_tokens": 9}, {"completion_tokens": 5}], ReportedUsage(9, 5)),
        (
            [{"prompt_tokens": 9, "completion_tokens": 5}, {"completion_tokens": 0}],
            ReportedUsage(9, 5),
        ),
        ([{"prompt_tokens": 9, "completion_tokens": 5}, None, []], ReportedUsage(9, 5)),
        ([{"prompt_tokens": 9, "total_tokens": 9}, {"completion_tokens": 5}], ReportedUsage(9, 5)),
        (
            [
                {"total_tokens": 14, "reasoning_tokens": 3},
                {"prompt_tokens": 9, "completion_tokens": 5},
            ],
            ReportedUsage(9, 5, None, 3),
        ),
    ],
)
def test_reports_one_after_the_other(reports: list[Any], usage: ReportedUsage) -> None:
    found = None
    for each in reports:
        found = usage_in(each, found)
    assert found == usage


@pytest.mark.parametrize(
    ("reported", "tokens"),
    [
        ({"cache_read_input_tokens": 400, "cache_creation_input_tokens": 30}, 430),
        ({"cache_read_input_tokens": -400, "cache_creation_input_tokens": 30}, 30),
        ({"cache_read_input_tokens": 400.0}, 400),
        ({"cache_read_input_tokens": 10**400, "cache_creation_input_tokens": float("nan")}, 0),
        ({"cache_read_input_tokens": True, "cache_creation_input_tokens": "30"}, 0),
        ({"cache_read_input_tokens": None}, 0),
        ([400], 0),
        (None, 0),
    ],
)
def test_what_a_cache_held_is_never_less_than_nothing(reported: Any, tokens: int) -> None:
    assert cached_tokens_in(reported) == tokens
