"""Joins the pieces of a streamed text, also from servers that repeat the text so far in each."""

MIN_TELLING_CHARACTERS = 8
"""A piece that begins with a text this long, and goes on, is no chance: it repeats it."""


class DeltaJoiner:
    """Finds what each piece of a text adds to it. Once `is_plain`, each is new as a whole.

    Shape: a piece may be new text, as the protocol has it, or the whole text so far, as some
    bridges send it. The first pieces that differ show which; while a short beginning leaves it
    open, the piece in doubt waits.
    """

    def __init__(self) -> None:
        self.is_plain = False
        self._whole = ""
        self._doubtful = ""
        self._is_cumulative = False

    def add(self, piece: str) -> str:
        """Return the new text in a piece."""
        if self.is_plain or not piece:
            return piece
        if self._is_cumulative:
            return self._grown(piece)
        if not self._whole:
            self._whole = piece
            return piece
        return self._judged(piece)

    def end(self) -> str:
        """Return the text that was still in doubt when the stream ended."""
        doubtful, self._doubtful = self._doubtful, ""
        # Two pieces, the second beginning with the first: "Yes", "Yes, we do".
        is_repeat = len(self._whole) > 1
        return doubtful[len(self._whole) :] if is_repeat else doubtful

    def _judged(self, piece: str) -> str:
        so_far = self._doubtful or self._whole
        if len(piece) > len(so_far) and piece.startswith(so_far):
            if self._doubtful or len(so_far) >= MIN_TELLING_CHARACTERS:
                self._is_cumulative = True
                return self._grown(piece)
            self._doubtful = piece
            return ""
        self.is_plain = True
        return self._doubtful + piece

    def _grown(self, piece: str) -> str:
        if piece.startswith(self._whole):
            new = piece[len(self._whole) :]
        else:
            # An older state of the text again, or something beside the rule.
            new = "" if self._whole.startswith(piece) else piece
        self._whole += new
        return new
