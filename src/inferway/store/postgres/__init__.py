"""One PostgreSQL database: the store that several machines share."""
