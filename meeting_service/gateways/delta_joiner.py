"""Joins the pieces of a streamed text, also from servers that repeat the text so far in each."""

MIN_DECISIVE_CHARACTERS = 8
"""Pieces that grow from each other up to this length are no chance: they repeat the text so far."""

MIN_DECISIVE_LETTERS = 4
"""What is written with fewer different characters grows by chance: `--`, `----`, indentation."""

MIN_REPEATED_CHARACTERS = 20
"""A piece equal to a whole text this long is the text again, at the end of some streams."""

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
    that either may be meant, they wait. Once `is_plain`, a piece that is shorter than the text so
    far may be added to `whole` directly.
    """

    def __init__(self) -> None:
        self.is_plain = False
        self.whole: list[str] = []
        self._first = ""
        self._tail = ""
        self._doubtful: list[str] = []
        self._state = ""
        self._is_cumulative = False

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

    def end(self) -> str:
        """Return the text that was still in doubt when the stream ended."""
        doubtful, self._doubtful = self._doubtful, []
        self.is_plain = not self._is_cumulative
        tail, self._tail = self._tail, ""
        if doubtful and self._is_repeat_at_end(doubtful):
            return self._kept(doubtful[-1][len(self._first) :])
        return self._kept(tail + "".join(doubtful))

    def _judged(self, piece: str) -> str:
        before = self._doubtful[-1].rstrip(_HALF_DECODED) if self._doubtful else self._first
        is_longer = len(piece) > len(before)
        may_repeat = is_longer or len(piece) >= MIN_DECISIVE_CHARACTERS
        if not before or not may_repeat or not piece.startswith(before):
            tail, self._tail, self.is_plain = self._tail, "", True
            doubtful, self._doubtful = "".join(self._doubtful), []
            return self._kept(tail + doubtful) + self._unless_repeated(piece)
        self._doubtful.append(piece)
        if self._growths(self._doubtful) < 2 or not _is_decisive(piece):
            return ""
        self._is_cumulative, self._doubtful, self._tail = True, [], ""
        self._state = self._first
        return self._grown(piece)

    def _growths(self, doubtful: list[str]) -> int:
        return len({self._first, *doubtful}) - 1

    def _is_repeat_at_end(self, doubtful: list[str]) -> bool:
        """Return whether the few pieces of a short stream are states of one text."""
        first, last = self._first, doubtful[-1]
        growths = self._growths(doubtful)
        if not growths:
            return len(doubtful) == 1 and len(first) >= MIN_REPEATED_CHARACTERS
        is_periodic = not last.replace(first, "")
        has_letters = any(character.isalpha() for character in last)
        return has_letters and not is_periodic and (growths > 1 or len(first) > 1)

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
        if len(piece) >= MIN_REPEATED_CHARACTERS and len(self.whole) >= MIN_PIECES_OF_A_WHOLE:
            whole = "".join(self.whole)
            if len(whole) >= MIN_DECISIVE_CHARACTERS and piece.startswith(whole):
                return self._kept(piece[len(whole) :])
            if piece.strip() == whole.strip():
                return ""
        return self._kept(piece)

    def _kept(self, text: str) -> str:
        if text:
            self.whole.append(text)
        return text


def _common_characters(one: str, other: str) -> int:
    """Count the characters that both texts begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_decisive(piece: str) -> bool:
    return len(piece.strip()) >= MIN_DECISIVE_CHARACTERS and len(set(piece)) >= MIN_DECISIVE_LETTERS
