"""DALI graphs: the only code that imports nvidia.dali."""
