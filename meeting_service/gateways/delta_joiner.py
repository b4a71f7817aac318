"""Joins the pieces of a streamed text, also from servers that repeat the text so far in each."""

MIN_DECISIVE_CHARACTERS = 8
"""Pieces that grow from each other up to this length are no chance: they repeat the text so far."""

MIN_DECISIVE_LETTERS = 4
"""What is written with fewer different characters grows by chance: `--`, `----`, indentation."""

MIN_REPEATED_CHARACTERS = 20
"""A piece equal to a whole text this long is the text again, at the end of some streams."""

MAX_DOUBTFUL_PIECES = 32
"""As many pieces that begin alike, and do not show that they repeat, are plain."""

MAX_DOUBTFUL_CHARACTERS = 4_000
"""More text than this is in doubt in the few pieces alone that may show what it is."""

MIN_DOUBTFUL_PIECES = 4
"""As many pieces may be in doubt, however long."""

MIN_PIECES_OF_A_WHOLE = 2
"""One piece and its like may be meant; two and then both at once are a repetition."""

MAX_TRIMMED_CHARACTERS = 4
"""How many blanks around a text may be missing where it is repeated."""

_HALF_DECODED = "\ufffd"
"""What a server writes for the first bytes of a character whose others are still to come."""


class DeltaJoiner:
    """Finds what each piece of a text adds to it.

    Shape: a piece may be new text, as the protocol has it, or the whole text so far, as some
    bridges send it. The first pieces show which; as long as each begins with the one before, so
    that either may be meant, they wait, up to a bound. Once it `is_settled` that they are new text,
    a piece that is shorter than the text so far may be added to `whole` directly. A later piece
    that is the whole text waits: it repeats the text if it is the last, and is new text else.
    `held_characters` is how much waits.
    """

    def __init__(self) -> None:
        self.is_plain = False
        self.whole: list[str] = []
        # Of the whole; pieces that were added to it directly are not counted.
        self._min_length = 0
        self._first = ""
        self._tail = ""
        self._doubtful: list[str] = []
        self._doubtful_characters = 0
        self._growths = 0
        self._repeat = ""
        self._new_in_repeat = ""
        self._state = ""
        self._is_cumulative = False

    @property
    def is_settled(self) -> bool:
        """Whether pieces are new text, and none waits."""
        return self.is_plain and not self._repeat

    @property
    def held_characters(self) -> int:
        return self._doubtful_characters + len(self._repeat)

    def add(self, piece: str) -> str:
        """Return the new text in a piece."""
        if not piece:
            return ""
        if self.is_plain:
            return self._unless_repeated(piece)
        if self._is_cumulative:
            return self._grown(piece)
        if not (self.whole or self._tail):
            self._first = piece.rstrip(_HALF_DECODED)
            self._tail = piece[len(self._first) :]
            return self._kept(self._first)
        return self._judged(piece)

    def add_whole(self, text: str) -> str:
        """Return what a text that is given as the whole has beyond the pieces that came."""
        new = self.end()
        whole = "".join(self.whole)
        return new + self._kept(text[len(whole) :]) if text.startswith(whole) else new

    def end(self, *, is_said_once: bool = False) -> str:
        """Return the text that was still in doubt when the stream ended.

        `is_said_once` tells that two equal pieces would be more than the model is said to have
        written.
        """
        new, self._repeat, self._new_in_repeat = self._new_in_repeat, "", ""
        if new:
            return self._kept(new)
        doubtful = self._doubtful
        is_repeat = bool(doubtful) and self._is_repeat_at_end(doubtful, is_said_once)
        if is_repeat:
            new = doubtful[-1][len(self._first) :]
            self._doubtful, self._tail = [], ""
            self._doubtful_characters = 0
        self.is_plain = not self._is_cumulative
        return self._kept(new) if is_repeat else self._settled()

    def _judged(self, piece: str) -> str:
        before = self._doubtful[-1].rstrip(_HALF_DECODED) if self._doubtful else self._first
        state = piece.rstrip(_HALF_DECODED)
        is_longer = len(piece) > len(before)
        may_repeat = is_longer or len(piece) >= MIN_DECISIVE_CHARACTERS
        if not before or not may_repeat or not piece.startswith(before):
            self.is_plain = True
            return self._settled() + self._unless_repeated(piece)
        self._doubtful.append(piece)
        self._doubtful_characters += len(piece)
        self._growths += len(state) > len(before)
        if self._growths < 2 or not _is_decisive(piece):
            self.is_plain = self._is_doubt_too_long()
            return self._settled() if self.is_plain else ""
        self._is_cumulative, self._doubtful, self._tail = True, [], ""
        self._doubtful_characters = 0
        self._state = self._first
        return self._grown(piece)

    def _settled(self) -> str:
        """Take what is in doubt as new text."""
        text, self._doubtful, self._tail = self._tail + "".join(self._doubtful), [], ""
        self._doubtful_characters = 0
        return self._kept(text)

    def _is_doubt_too_long(self) -> bool:
        pieces = len(self._doubtful)
        is_long = self._doubtful_characters > MAX_DOUBTFUL_CHARACTERS
        return pieces >= MAX_DOUBTFUL_PIECES or (is_long and pieces >= MIN_DOUBTFUL_PIECES)

    def _is_repeat_at_end(self, doubtful: list[str], is_said_once: bool) -> bool:
        """Return whether the few pieces of a short stream are states of one text."""
        first, last = self._first, doubtful[-1]
        growths = self._growths
        if not growths:
            is_long = len(first) >= MIN_REPEATED_CHARACTERS
            return is_said_once and is_long and len(doubtful) == 1
        is_periodic = not last.replace(first, "")
        has_letters = any(character.isalpha() for character in last)
        is_next_word = last[len(first) :][:1].isspace()
        return has_letters and not is_periodic and (growths > 1 or len(first) > 1 or is_next_word)

    def _grown(self, piece: str) -> str:
        state = piece.rstrip(_HALF_DECODED)
        if state.startswith(self._state):
            new, self._state = state[len(self._state) :], state
            return self._kept(new)
        if self._state.startswith(state):
            return ""  # An older state of the text again.
        common = _common_characters(self._state, state)
        if 2 * common < len(self._state):
            # Beside the rule: a piece that only adds.
            self._state += piece
            return self._kept(piece)
        self._state = state
        return self._kept(state[common:])

    def _unless_repeated(self, piece: str) -> str:
        before, self._repeat, self._new_in_repeat = self._repeat, "", ""
        if before:
            # More follows, so that it was new text: losing some is worse than having it twice.
            return self._kept(before) + self._kept(piece)
        may_repeat = len(piece) + MAX_TRIMMED_CHARACTERS >= max(
            self._min_length, MIN_REPEATED_CHARACTERS + MAX_TRIMMED_CHARACTERS
        )
        if may_repeat and len(self.whole) >= MIN_PIECES_OF_A_WHOLE:
            whole = "".join(self.whole)
            self._min_length = len(whole)
            if len(whole) >= MIN_DECISIVE_CHARACTERS and piece.startswith(whole):
                self._repeat, self._new_in_repeat = piece, piece[len(whole) :]
                return ""
            if piece.strip() == whole.strip():
                self._repeat = piece
                return ""
        return self._kept(piece)

    def _kept(self, text: str) -> str:
        if text:
            self.whole.append(text)
            self._min_length += len(text)
        return text


def _common_characters(one: str, other: str) -> int:
    """Count the characters that both texts begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_decisive(piece: str) -> bool:
    return len(piece.strip()) >= MIN_DECISIVE_CHARACTERS and len(set(piece)) >= MIN_DECISIVE_LETTERS
