"""What every store does with what is kept of how models count."""

from meeting_service.ports import Recorder


class FactorContract:
    async def test_a_model_without_a_row_has_none(self, recorder: Recorder):
        assert await recorder.select_token_factors([("main", "m-1")]) == {}
        assert await recorder.select_token_factors([]) == {}

    async def test_what_is_kept_of_a_model_comes_back_as_it_was(self, recorder: Recorder):
        text = '{"factors": "\u4f1a \\" {x}"}'
        await recorder.save_token_factors("main", "m-1", text)
        assert await recorder.select_token_factors([("main", "m-1")]) == {("main", "m-1"): text}

    async def test_each_gateway_and_model_has_a_row_of_its_own(self, recorder: Recorder):
        keys = [("main", "m-1"), ("main", ""), ("other", "m-1"), ('a,"b', "m:{1}")]
        for number, (gateway, model) in enumerate(keys):
            await recorder.save_token_factors(gateway, model, str(number))
        assert await recorder.select_token_factors(keys[1:]) == {
            key: str(number) for number, key in enumerate(keys) if number
        }

    async def test_what_is_saved_later_takes_the_place_of_what_was_there(self, recorder: Recorder):
        await recorder.save_token_factors("main", "m-1", "first")
        await recorder.save_token_factors("main", "m-1", "second")
        assert await recorder.select_token_factors({("main", "m-1")}) == {("main", "m-1"): "second"}
