"""tfdfd finds deepfakes in video: clips in, a served clip score out."""

__version__ = "0.1.0"
