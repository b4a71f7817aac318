"""Running meetings: a supervisor owns one runner a meeting."""
