"""The worker's work, a lane for each kind."""
