"""Views: what the service answers about meetings, as data."""
