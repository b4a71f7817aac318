"""What the scripted gateway's speakers have on their desks, by trade."""

from msgspec import Struct


class Work(Struct, frozen=True):
    """Something a speaker works on: what it is, and what there is to say about it.

    Shape: `subject` and `risk` fit after "that" or "on"; `done` is a clause, `next_step` an
    infinitive without "to", `decision` a whole sentence.
    """

    subject: str
    done: str
    next_step: str
    risk: str
    decision: str


WORK: dict[str, tuple[Work, ...]] = {
    "plan": (
        Work(
            "the order of the milestones",
            "the first release now holds only what the pilot customers asked for",
            "agree the cut-off date with the pilot customers",
            "two of the pilot customers have not confirmed their test window",
            "The first release holds only what the pilot customers asked for.",
        ),
        Work(
            "the scope of the release",
            "everything that nobody could name a user for went to the second release",
            "write down what is out of scope, so that nobody is surprised",
            "the reporting work is larger than the plan says",
            "Anything without a named user waits for the second release.",
        ),
        Work(
            "the dependencies between the teams",
            "we now know who waits for whom, and only one chain is longer than a week",
            "move the review of the interface to the front of the chain",
            "the review of the interface sits on the longest chain and has no owner yet",
            "The review of the interface comes first.",
        ),
    ),
    "build": (
        Work(
            "the export endpoint",
            "it streams large files instead of building them in memory",
            "put the export behind a flag and measure it on real data",
            "the staging data is two weeks old, so the figures may flatter us",
            "The export endpoint goes out behind a flag.",
        ),
        Work(
            "the migration of the old records",
            "it can stop and go on at any point, and it ran twice without a difference",
            "rehearse the migration once on a full copy",
            "a full run of the migration takes longer than the maintenance window we have",
            "The migration is rehearsed on a full copy before the release.",
        ),
        Work(
            "the retry handling in the payment client",
            "it honours what the provider asks for and gives up after a bounded number of tries",
            "record every payment attempt, so that support can see what happened",
            "the provider's sandbox does not limit rates, so part of it goes untested",
            "Every payment attempt is recorded, failed ones too.",
        ),
    ),
    "design": (
        Work(
            "the first-run screens",
            "five of six people got through them without asking for help",
            "shorten the second screen, where the sixth one gave up",
            "nobody has seen the texts in the longer languages yet",
            "The second first-run screen is cut to one question.",
        ),
        Work(
            "the empty and error states",
            "each of them now says what happened and what to do next",
            "go through the wording with support",
            "three error messages still come straight from the server",
            "No error text from the server reaches a user unedited.",
        ),
        Work(
            "the keyboard and screen reader paths",
            "every action of the main flow works without a mouse",
            "try the whole flow with two people who rely on a screen reader",
            "the date picker we bought does not announce its state",
            "The date picker is replaced before the release.",
        ),
    ),
    "test": (
        Work(
            "the regression suite",
            "it runs in four minutes, and the three flaky tests turned out to be one real bug",
            "run the regression suite on every change instead of every night",
            "we have no test for losing the connection half-way through an upload",
            "The regression suite runs on every change.",
        ),
        Work(
            "the acceptance list for the release",
            "each line says how it is checked and by whom",
            "walk through the open lines with the developers",
            "nobody has agreed what counts as fast enough",
            "A page counts as fast when it answers within one second.",
        ),
        Work(
            "the failure drills",
            "we stopped each service in turn, and all but one came back by themselves",
            "repeat the drill for the service that did not come back",
            "the alert for the stuck queue fires only after an hour",
            "A stuck queue raises an alert within five minutes.",
        ),
    ),
    "any": (
        Work(
            "the open questions from last time",
            "all but one of them have an answer now",
            "bring the last one to whoever can decide it",
            "one of the questions needs somebody who is not in the room",
            "The last open question is settled by the end of the week.",
        ),
        Work(
            "the feedback from the first users",
            "it is sorted by how often it came up and how much it hurts",
            "answer the ten people who wrote the most",
            "the loudest requests come from very few people",
            "We answer the first users before we build anything new for them.",
        ),
        Work(
            "the documentation",
            "a newcomer got from the first page to a working set-up in a quarter of an hour",
            "have somebody who has never seen the documentation follow it word for word",
            "two pages describe behaviour that has changed since",
            "No change is done before its page is.",
        ),
    ),
}

TRADES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("test", ("qa", "test", "quality", "verif")),
    ("design", ("design", "ux", "writer", "research")),
    ("plan", ("plan", "product", "manage", "lead", "owner", "chair")),
    ("build", ("dev", "engineer", "architect", "program", "backend", "frontend", "ops")),
)
"""Which words in an agent's id, name or role show its trade, in the order they are tried."""
