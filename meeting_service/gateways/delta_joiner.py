"""Joins the pieces of a streamed text, also from servers that repeat the text so far in each."""

MIN_TELLING_CHARACTERS = 8
"""A piece that begins with a text this long, and goes on, is no chance: it repeats it."""

MIN_REPEATED_CHARACTERS = 20
"""A piece equal to a whole text this long is the text again, at the end of some streams."""


class DeltaJoiner:
    """Finds what each piece of a text adds to it.

    Shape: a piece may be new text, as the protocol has it, or the whole text so far, as some
    bridges send it. The first pieces that differ show which; while a short beginning leaves it
    open, the piece in doubt waits.
    """

    def __init__(self) -> None:
        self._whole: list[str] = []
        self._first = ""
        self._doubtful = ""
        self._length = 0
        self._pieces = 0
        self._is_plain = False
        self._is_cumulative = False

    def add(self, piece: str) -> str:
        """Return the new text in a piece."""
        self._pieces += 1
        if self._is_plain:
            if len(piece) == self._length and self._repeats_all(piece):
                return ""
            return self._kept(piece)
        if self._pieces == 1:
            self._first = piece
            return self._kept(piece)
        return self._grown(piece) if self._is_cumulative else self._judged(piece)

    def end(self) -> str:
        """Return the text that was still in doubt when the stream ended."""
        doubtful, self._doubtful = self._doubtful, ""
        if not doubtful:
            return ""
        # Two pieces, the second beginning with the first: "Yes", "Yes, we do".
        is_repeat = len(self._first) > 1
        return self._kept(doubtful[len(self._first) :] if is_repeat else doubtful)

    def _judged(self, piece: str) -> str:
        so_far = self._doubtful or self._first
        if len(piece) > len(so_far) and piece.startswith(so_far):
            if self._doubtful or len(so_far) >= MIN_TELLING_CHARACTERS:
                self._is_cumulative, self._doubtful = True, ""
                return self._grown(piece)
            self._doubtful = piece
            return ""
        self._is_plain = True
        doubtful, self._doubtful = self._doubtful, ""
        return self._kept(doubtful + piece)

    def _grown(self, piece: str) -> str:
        whole = "".join(self._whole)
        if piece.startswith(whole):
            return self._kept(piece[len(whole) :])
        # An older state of the text again, or something beside the rule.
        return "" if whole.startswith(piece) else self._kept(piece)

    def _repeats_all(self, piece: str) -> bool:
        return (
            self._pieces > 2  # one piece and its like may be meant
            and len(piece) >= MIN_REPEATED_CHARACTERS
            and piece == "".join(self._whole)
        )

    def _kept(self, text: str) -> str:
        self._whole.append(text)
        self._length += len(text)
        return text
