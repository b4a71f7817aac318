"""Locks on files, which the kernel gives back however their holder ends."""

import fcntl
import os
from enum import IntEnum
from pathlib import Path


class Hold(IntEnum):
    """Alone, or together with others who share."""

    ALONE = fcntl.LOCK_EX
    SHARED = fcntl.LOCK_SH


def open_lock(path: Path) -> int:
    """Open a lock file, making it if need be; closing the descriptor gives the lock back.

    Raises: OSError.
    """
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)


def try_lock(descriptor: int, hold: Hold) -> bool:
    """Take a lock if it is free; say whether it was."""
    try:
        fcntl.flock(descriptor, hold | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held_alone(path: Path) -> bool:
    """Say whether somebody holds a lock alone."""
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor, Hold.SHARED)
    finally:
        os.close(descriptor)
