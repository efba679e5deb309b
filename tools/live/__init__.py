"""What `eventsim stream` and `eventsim view` show of a live run."""
