"""Plans of simulations: strict, with the usual defaults, refused by the name of the field."""

from pathlib import Path

import pytest

from meeting_core.model import Configuration
from meeting_service.settings import Settings
from meeting_service.simulation import PlanError, read_plan
from meeting_service.simulation.lengths import BetaLength, LogNormalLength

MEETING = '[meeting]\nparticipants = ["planner", "dev"]\n'
PRICES = '[prices]\nversion = "v"\n'


def read(folder: Path, text: str, **flags: int):
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path, Settings(), **flags)


def test_what_a_plan_leaves_out_is_as_in_a_start_body(tmp_path: Path):
    plan = read(tmp_path, MEETING)
    participants = plan.meeting.participants
    assert plan.meeting == Configuration(participants=participants)
    assert [participant.agent_id for participant in participants] == ["planner", "dev"]
    assert participants[1].name == "Devi Developer"
    assert (plan.runs, plan.seed) == (1_000, 1)


def test_participants_may_be_tables_or_a_number(tmp_path: Path):
    text = '[meeting]\nparticipants = [{id = "a", name = "Ann", model = "m"}, "dev"]\n'
    ann, dev = read(tmp_path, text).meeting.participants
    assert (ann.agent_id, ann.name, ann.model, dev.agent_id) == ("a", "Ann", "m", "dev")
    participants = read(tmp_path, "[meeting]\nparticipants = 3\n").meeting.participants
    assert [participant.agent_id for participant in participants] == [
        "participant-1",
        "participant-2",
        "participant-3",
    ]


def test_an_agent_replies_as_all_do_but_for_what_is_said_of_it(tmp_path: Path):
    text = (
        f"{MEETING}[replies]\ntokens = {{min = 1, mean = 2, max = 9}}\n"
        "ignores_cap_probability = 0.25\n[replies.dev]\ntokens = {p50 = 3, p95 = 4}\n"
    )
    replies = read(tmp_path, text).replies
    assert replies["planner"].tokens == BetaLength(min=1, mean=2, max=9)
    assert replies["dev"].tokens == LogNormalLength(p50=3, p95=4)
    assert replies["dev"].ignores_cap_probability == 0.25


def test_flags_take_the_place_of_the_files_numbers(tmp_path: Path):
    plan = read(tmp_path, "runs = 5\nseed = 6\n" + MEETING, runs=7, seed=8)
    assert (plan.runs, plan.seed) == (7, 8)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "meeting: is missing"),
        ("meeting = 3", "meeting: is no table; write [meeting]"),
        ("run = 3\n" + MEETING, "run: is not known here; did you mean runs?"),
        ("runs = 0\n" + MEETING, "runs: is 0; expected int >= 1"),
        ('seed = "1"\n' + MEETING, "seed: is '1'; expected int, got str"),
        ("[meeting]\ngoal = ''\n", "meeting.participants: is missing"),
        ("[meeting]\nparticipants = 1\n", "meeting.participants: has 1; a meeting takes 2 to 8"),
        ("[meeting]\nparticipants = 9999999\n", "meeting.participants: has 9; "),
        ("[meeting]\nparticipants = true\n", "meeting.participants: must be a list"),
        (
            "[meeting]\nparticipants = ['dev', 'nobody']\n",
            "meeting.participants[1]: there is no agent 'nobody'; the agents are planner, dev,",
        ),
        (
            "[meeting]\nparticipants = ['dev', {id = 'a'}]\n",
            "meeting.participants[1].name: is missing",
        ),
        (
            "[meeting]\nparticipants = ['dev', {id = 'a', name = 'A', gateway = 'g'}]\n",
            "meeting.participants[1].gateway: is 'g'; the gateways are scripted",
        ),
        (MEETING + "num_round = 3\n", "meeting.num_round: is not known here; did you mean num_rou"),
        (MEETING + "num_rounds = '3'\n", "meeting.num_rounds: is '3'; expected int, got str"),
        (MEETING + "num_rounds = 9\n", "meeting.num_rounds: is 9; it must be between 1 and 5"),
        (MEETING + "meeting_tokens = 100\n", "meeting.meeting_tokens: is 100; it must be"),
        (MEETING + "round_topics = ['a', 2]\n", "meeting.round_topics[1]: expected str, got int"),
        (
            MEETING + "on_budget = 'stop'\n",
            "meeting.on_budget: is 'stop'; must be wrap_up, pause or fail",
        ),
        (MEETING + "meeting_cost = 1.0\n", "meeting.meeting_cost: cannot be kept"),
        (MEETING + "parent_meeting_id = 'x'\n", "meeting.parent_meeting_id: cannot be read"),
        (MEETING + "[meeting.prices]\n", "meeting.prices: stand in a table of their own"),
        (MEETING + "[replies]\ntokens = 0\n", "replies.tokens: is 0; it must be between"),
        (MEETING + "[replies]\ntokens = {p50 = 3}\n", "replies.tokens: write a number, {min,"),
        (
            MEETING + "[replies]\ntokens = {p50 = 3, p95 = 2}\n",
            "replies.tokens: p50 must not be above p95",
        ),
        (
            MEETING + "[replies]\ntokens = {min = 3, mean = 2, max = 9}\n",
            "replies.tokens: min, mean and max must not fall",
        ),
        (
            MEETING + "[replies]\ntokens = {p50 = 'x', p95 = 2}\n",
            "replies.tokens.p50: expected int, got str",
        ),
        (
            MEETING + "[replies]\ntokens = {p51 = 1, p95 = 2}\n",
            "replies.tokens: object contains unknown field p51",
        ),
        (MEETING + "[replies.qa]\n", "replies.qa: is not known here"),
        (MEETING + "[replies.dev]\ntoken = 3\n", "replies.dev.token: is not known here"),
        (MEETING + "[faults]\nempty = 1.5\n", "faults.empty: is 1.5; expected float <= 1.0"),
        (MEETING + "[faults]\nempty = nan\n", "faults.empty: is nan; expected float >= 0.0"),
        (MEETING + "[faults]\nempty = 0.6\nrefused = 0.5\n", "faults: come to 1.1 together"),
        (MEETING + "[latency]\ntokens_per_second = 0\n", "latency.tokens_per_second: is 0"),
        (MEETING + "[outage]\nprobability = true\n", "outage.probability: is True; expected float"),
        (MEETING + PRICES, "prices.models: is missing"),
        (
            MEETING + PRICES + "models.m = {prompt = -1.0, completion = 1.0}\n",
            "prices.models.m.prompt: is -1; it must be 0 or more",
        ),
        (MEETING + PRICES + "models.m = {prompt = 1.0}\n", "prices.models.m.completion: is missi"),
        ("[meeting\n", "is not valid TOML"),
    ],
)
def test_a_bad_plan_is_refused_by_the_name_of_its_field(tmp_path: Path, text: str, problem: str):
    with pytest.raises(PlanError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'plan.toml'}: {problem}")


def test_a_bad_flag_is_named_as_it_was_given(tmp_path: Path):
    with pytest.raises(PlanError, match=r"^command line: --runs: is 0; "):
        read(tmp_path, MEETING, runs=0)


def test_a_plan_that_cannot_be_read_is_told_so(tmp_path: Path):
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.toml", Settings())
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(PlanError, match="is not UTF-8"):
        read_plan(tmp_path / "latin.toml", Settings())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_plan_is_read_by_its_byte_order_mark(tmp_path: Path, encoding: str):
    marked = tmp_path / "marked.toml"
    marked.write_bytes(MEETING.encode(encoding))
    assert read_plan(marked, Settings()) == read(tmp_path, MEETING)
