"""Training: configuration, the epoch loop and its saved state."""
