"""The service over HTTP: routes, bodies, the feed, problems."""
