"""What has come of one streamed call, piece by piece."""

from collections.abc import Mapping
from typing import Any

from meeting_core.model import ReportedUsage
from meeting_core.prompt import estimate_tokens
from meeting_service.gateways.bounded_text import BoundedText
from meeting_service.gateways.delta_joiner import MAX_TRIMMED_CHARACTERS, DeltaJoiner
from meeting_service.gateways.thought_splitter import TAG_STARTS, Split, ThoughtSplitter

MAX_REFUSAL_BYTES = 2_000

SURELY_OVER = 2
"""An estimate this many times the cap shows that the server does not keep the cap."""

# The first halves of characters that take two in UTF-16.
_FIRST_HALF, _LAST_FIRST_HALF = "\ud800", "\udbff"


class Answer:
    """What has come of one call so far.

    Shape: `finish_reason` is empty as long as the provider has not said that the answer is
    complete, or has gone on all the same. `pieces` counts those with text or thoughts; `has_output`
    says that something else was written, such as a refusal, or another choice than `choice`, the
    first that came. `is_done` is true once the provider has said that nothing follows; `is_over`
    once the answer is longer than it can rightly be, so that reading on is no use. `remark` is the
    last thing it said in plain words, in place of a piece: if nothing follows, that is what went
    wrong. Units: `output_tokens` is the cap that was sent; `max_bytes` bounds the text that is
    kept, and the thoughts. An answer that only `may_begin_in_thought` is shown once its thought, or
    the whole answer, is over.
    """

    def __init__(
        self,
        output_tokens: int = 0,
        max_bytes: int = 0,
        *,
        begins_in_thought: bool = False,
        may_begin_in_thought: bool = False,
    ) -> None:
        self.is_sent = False
        self.is_open = False
        self.is_understood = False
        self.is_done = False
        self.is_over = False
        self.media_type = ""
        self.pieces = 0
        self.has_output = False
        self.choice: Any = None
        self.model = ""
        self.finish_reason = ""
        self.remark = ""
        self.usage: ReportedUsage | None = None
        self._max_characters = SURELY_OVER * output_tokens
        self._output_tokens = output_tokens
        self._max_bytes = max_bytes
        self._speech = BoundedText(max_bytes)
        self._thought = BoundedText(max_bytes)
        self._refusal = BoundedText(MAX_REFUSAL_BYTES)
        self._joiner = DeltaJoiner()
        self._thought_joiner = DeltaJoiner()
        self._splitter = ThoughtSplitter(begins_in_thought=begins_in_thought)
        self._is_withheld = may_begin_in_thought
        self._half = ""
        self._is_settled = False
        self._messages = 0
        self._has_open_piece = False
        self._is_reason_taken_back = False

    @property
    def text(self) -> str:
        return str(self._speech)

    @property
    def thought(self) -> str:
        return str(self._thought).strip()

    @property
    def refusal(self) -> str:
        return str(self._refusal)

    @property
    def began_in_thought(self) -> bool:
        """Whether only the closing tag of a thought came, so that it began in the prompt."""
        return self._splitter.began_in_thought

    @property
    def is_whole_in_silence(self) -> bool:
        """Whether the answer is complete though the server neither goes on nor ends the stream.

        A server that gave a reason and went on, or has given one with every piece so far, may do so
        once more.
        """
        is_meant = self._has_open_piece and not self._is_reason_taken_back
        return bool(self.finish_reason) and is_meant

    @property
    def has_begun(self) -> bool:
        """Whether anything that the model wrote has come."""
        return self.has_output or self.pieces > 0

    @property
    def tokens_seen(self) -> int:
        """Estimate the text and the thoughts that have come; at least 1 once anything has."""
        return max(estimate_tokens(self.text) + self.thought_tokens, int(self.has_begun))

    @property
    def thought_tokens(self) -> int:
        """Estimate the thoughts that have come."""
        return estimate_tokens(self.thought)

    def opened(self, content_type: str) -> None:
        """Record that the answer has begun."""
        self.is_open = True
        self.media_type = content_type.partition(";")[0].strip().lower()

    def add(self, text: str, *, finish_reason: str = "", thought: str = "") -> str:
        """Take a piece of the answer; return the text in it that may be shown.

        A finish reason is believed only as long as nothing follows it: some bridges put one into
        every piece.
        """
        if not text and not thought:
            self._end_by(finish_reason)
            return ""
        self.pieces += 1
        self.remark = ""
        if self.finish_reason:
            self._is_reason_taken_back = True
        if not finish_reason:
            self._has_open_piece = True
        self.finish_reason = finish_reason
        if thought:
            self._add_thought(self._thought_joiner.add(thought))
        if not text:
            return ""
        if self._is_mere_speech(text):
            self._joiner.whole.append(text)
            self._splitter.said.append(text)
            return self._add_speech(text)
        return self._add_joined(self._joiner.add(text))

    def add_message(self, text: str, *, finish_reason: str = "", thought: str = "") -> str:
        """Take a message that is given as a whole: after pieces of it, it says them again."""
        if self.pieces == self._messages:
            self._messages += bool(text or thought)
            return self.add(text, finish_reason=finish_reason, thought=thought)
        self._end_by(finish_reason)
        self._add_thought(self._thought_joiner.add_whole(thought) if thought else "")
        return self._add_joined(self._joiner.add_whole(text)) if text else ""

    def end(self) -> str:
        """Take the answer's end, or its break; return the text that was in doubt until now."""
        is_whole = self.is_done if not self.finish_reason else self.finish_reason != "length"
        is_cut = self.is_over or not is_whole
        self._add_thought(self._thought_joiner.end())
        half = self._half
        rest = self._joiner.end(is_said_once=self._is_said_once())
        held = self._splitter.add(self._whole(rest))
        shown = self._add_split(held) + self._add_split(self._splitter.end(is_cut=is_cut))
        shown += self._released()
        # A half of a character that nothing followed is kept, so that it is counted as taken out.
        self._speech.add(self._half or half)
        self._half = ""
        return shown

    def add_refusal(self, text: str) -> None:
        """Take a piece of the reason why the model refuses to answer."""
        self._refusal.add(text)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Record when the request is sent; a proxy's CONNECT is not the request."""
        if event.endswith("send_request_headers.started"):
            self.is_sent = self.is_sent or info["request"].method == b"POST"

    def _is_said_once(self) -> bool:
        """Return whether the text so far is about all that the provider says it is."""
        written = self.usage.completion_tokens if self.usage is not None else None
        return written is not None and 2 * written < 3 * estimate_tokens(self.text)

    def _whole(self, text: str) -> str:
        """Return the text with whole characters only.

        A server that counts in UTF-16 may cut a character in two: its first half waits here.
        """
        if text.isascii() and not self._half:
            return text
        text = self._half + text
        self._half = text[-1] if _FIRST_HALF <= text[-1:] <= _LAST_FIRST_HALF else ""
        text = text[: len(text) - len(self._half)]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def _end_by(self, finish_reason: str) -> None:
        if finish_reason:
            self.finish_reason = finish_reason
            self._has_open_piece = True

    def _add_joined(self, text: str) -> str:
        # Beyond what both the speech and the thoughts may hold, splitting is no use.
        max_characters = 2 * (self._max_bytes + 1)
        if len(text) > max_characters:
            self.is_over, text = True, text[:max_characters]
        shown = self._add_split(self._splitter.add(self._whole(text)))
        if self._is_withheld and self._splitter.has_thought:
            shown = self._released()
        self._is_settled = self._joiner.is_settled and self._splitter.is_speaking and not self._half
        return shown

    def _is_mere_speech(self, text: str) -> bool:
        """Return whether a piece needs no second look, as most do not once a text has begun."""
        return (
            self._is_settled
            # Longer ones may be the whole text again, as some bridges send it at the end.
            and len(text) + MAX_TRIMMED_CHARACTERS < self._speech.length
            and TAG_STARTS.isdisjoint(text)
            and not text.isspace()
            and not _FIRST_HALF <= text[-1] <= _LAST_FIRST_HALF
        )

    def _add_split(self, split: Split) -> str:
        if self._splitter.is_retracted:
            self._splitter.is_retracted = False
            self._thought.add(self.text)
            self._speech = BoundedText(self._max_bytes)
        self._add_thought(split.thought)
        # The joiner may hold the same text twice, in two states of it.
        if (
            self._splitter.held_characters > self._max_bytes
            or self._joiner.held_characters > 2 * self._max_bytes
        ):
            self.is_over = True
        return self._add_speech(split.speech)

    def _add_speech(self, text: str) -> str:
        shown = self._speech.add(text)
        if self._speech.is_full or self._speech.length > self._max_characters:
            self._check_length()
        return "" if self._is_withheld else shown

    def _released(self) -> str:
        """Return what was withheld until now."""
        is_withheld, self._is_withheld = self._is_withheld, False
        return self.text if is_withheld else ""

    def _add_thought(self, text: str) -> None:
        if text:
            self._thought.add(text)
            self.is_over = self.is_over or self._thought.is_full

    def _check_length(self) -> None:
        # A cap may stand for more characters than tokens: count now, and again a quarter later.
        self._max_characters = self._speech.length * 5 // 4
        is_too_long = estimate_tokens(self.text) > SURELY_OVER * self._output_tokens
        self.is_over = self.is_over or self._speech.is_full or is_too_long
