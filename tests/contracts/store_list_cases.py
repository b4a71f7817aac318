"""What every store does with the list of meetings."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from meeting_service.ports import ReadModels, Recorder, SummaryFilter, SummaryPage
from tests.contracts.store_world import START, convene, end, events, summary


async def ids(recorder: Recorder, **wanted: Any) -> list[int]:
    """List meetings, by the numbers `listed` gave them."""
    page = await recorder.select_summaries(SummaryFilter(**wanted))
    return [row.meeting_id.int for row in page.rows]


class ListContract:
    @pytest.fixture
    async def listed(self, recorder: Recorder) -> Recorder:
        """Seven meetings, 1 to 7, each an hour younger than the one before."""
        for number in range(1, 8):
            await convene(
                recorder,
                meeting_id=UUID(int=number),
                created_at=START + timedelta(hours=number),
                room_id=f"room-{number}" if number < 3 else None,
                project_id="even" if number % 2 == 0 else "odd",
                state="round_1" if number < 6 else "synthesizing",
            )
        return recorder

    async def test_the_newest_meeting_comes_first(self, listed: Recorder):
        assert await ids(listed) == [7, 6, 5, 4, 3, 2, 1]

    async def test_a_row_comes_back_as_it_was_stored(self, recorder: Recorder):
        parent = UUID(int=77)
        row = summary(
            title='"Ünïcode" \\ {x}, 会议',
            goal="",
            participant_names=('A "quoted"', "b,c", "null", ""),
            room_id="r",
            project_id="p",
            parent_meeting_id=parent,
            output_path="/out/x.md",
            gateways=("b", 'a,"', ""),
            created_at=START + timedelta(microseconds=123_456),
            ended_at=START + timedelta(seconds=2),
        )
        await recorder.insert_events(events(row.meeting_id, 1), read_models=ReadModels(row))
        page = await recorder.select_summaries(SummaryFilter())
        assert page == SummaryPage((row,), total=1, has_more=False)

    async def test_an_empty_list_has_no_rows_and_no_more(self, recorder: Recorder):
        assert await recorder.select_summaries(SummaryFilter()) == SummaryPage((), 0, False)

    async def test_filters_narrow_the_list(self, listed: Recorder):
        assert await ids(listed, project_id="even") == [6, 4, 2]
        assert await ids(listed, room_id="room-2") == [2]
        assert await ids(listed, state="synthesizing") == [7, 6]
        assert await ids(listed, created_after=START + timedelta(hours=6)) == [7, 6]
        assert await ids(listed, project_id="odd", state="round_1") == [5, 3, 1]
        assert await ids(listed, project_id="nobody's") == []

    async def test_pages_follow_each_other_by_offset(self, listed: Recorder):
        pages = [await ids(listed, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
        assert pages == [[7, 6, 5], [4, 3, 2], [1], []]

    async def test_pages_follow_each_other_by_their_last_row(self, listed: Recorder):
        seen, before = [], None
        while True:
            page = await listed.select_summaries(SummaryFilter(limit=3, before=before))
            seen += [row.meeting_id.int for row in page.rows]
            assert page.total == 7
            if not page.has_more:
                break
            before = (page.rows[-1].created_at, page.rows[-1].meeting_id)
        assert seen == [7, 6, 5, 4, 3, 2, 1]

    async def test_meetings_of_the_same_moment_are_paged_without_loss(self, recorder: Recorder):
        for number in range(1, 6):
            await convene(recorder, meeting_id=UUID(int=number))
        before = (START, UUID(int=4))
        assert await ids(recorder, limit=2, before=before) == [3, 2]
        assert await ids(recorder, limit=2, before=(START, UUID(int=2))) == [1]

    async def test_the_total_counts_all_that_match_on_every_page(self, listed: Recorder):
        wanted = SummaryFilter(project_id="odd", limit=2, offset=2)
        page = await listed.select_summaries(wanted)
        assert (len(page.rows), page.total, page.has_more) == (2, 4, False)
        beyond = await listed.select_summaries(SummaryFilter(limit=2, offset=20))
        assert beyond == SummaryPage((), 7, False)

    async def test_more_follows_exactly_when_a_row_is_left(self, listed: Recorder):
        for limit, more in ((6, True), (7, False), (8, False)):
            page = await listed.select_summaries(SummaryFilter(limit=limit))
            assert page.has_more is more

    async def test_live_meetings_are_counted(self, listed: Recorder):
        assert await listed.count_live() == 7
        await end(listed, UUID(int=3), 2)
        assert await listed.count_live() == 6

    async def test_a_changed_row_is_listed_as_it_is_now(self, recorder: Recorder):
        meeting_id = await convene(recorder)
        await end(recorder, meeting_id, 2, output_path="/out/a.md")
        (row,) = (await recorder.select_summaries(SummaryFilter())).rows
        assert (row.state, row.is_live, row.output_path) == ("complete", False, "/out/a.md")
