"""Text that is collected up to a bound, so that no answer can fill the memory."""


class BoundedText:
    """Collects pieces of a text up to the first character that passes the bound.

    Units: `max_bytes` counts UTF-8, `length` counts characters. The one character more shows that
    the text was longer: it `is_full` then.
    """

    def __init__(self, max_bytes: int) -> None:
        self.length = 0
        self.is_full = max_bytes < 0
        self._bytes_left = max_bytes
        self._pieces: list[str] = []

    def __str__(self) -> str:
        return "".join(self._pieces)

    def add(self, piece: str) -> str:
        """Collect a piece; return the part of it that is kept."""
        if self.is_full:
            return ""
        # A character has at least one byte, so there is no need to look at more of them.
        kept = piece[: self._bytes_left + 1]
        if kept.isascii():
            self._bytes_left -= len(kept)
        else:
            kept = self._fitting(kept)
        self.is_full = self._bytes_left < 0
        self.length += len(kept)
        self._pieces.append(kept)
        return kept

    def _fitting(self, piece: str) -> str:
        for end, character in enumerate(piece, 1):
            self._bytes_left -= _size(character)
            if self._bytes_left < 0:
                return piece[:end]
        return piece


def _size(character: str) -> int:
    """Count the bytes of a character in UTF-8, a lone surrogate's too."""
    code = ord(character)
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)
