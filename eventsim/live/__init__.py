"""Live streams: source -> filters -> queue -> session, and every event accounted for."""
