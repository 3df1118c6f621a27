"""The ingest process: the only writer of the database file."""
