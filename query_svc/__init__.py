"""The query process: reads the file that the ingest process writes."""
