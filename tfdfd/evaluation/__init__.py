"""Evaluation: metrics and the score table of a run."""
