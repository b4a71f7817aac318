"""Locks on files. The kernel releases them when their holder exits, even if it is killed."""

import fcntl
import os
from enum import IntEnum
from pathlib import Path


class LockMode(IntEnum):
    """Exclusive, or shared with other holders of a shared lock."""

    EXCLUSIVE = fcntl.LOCK_EX
    SHARED = fcntl.LOCK_SH


def open_lock(path: Path) -> int:
    """Open a lock file, creating it if need be; closing the descriptor releases the lock.

    Raises: OSError.
    """
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)


def try_lock(lock_fd: int, mode: LockMode) -> bool:
    """Take a lock if it is free; return whether it was taken."""
    try:
        fcntl.flock(lock_fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked_exclusively(path: Path) -> bool:
    """Return whether a process holds the exclusive lock. Raises: OSError."""
    lock_fd = open_lock(path)
    try:
        return not try_lock(lock_fd, LockMode.SHARED)
    finally:
        os.close(lock_fd)
