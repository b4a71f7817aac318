"""Reading meetings: the feed that tells, as it happens, what was stored."""
