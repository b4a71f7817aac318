"""Where meetings are kept: a recorder on PostgreSQL, and its twin in memory."""
