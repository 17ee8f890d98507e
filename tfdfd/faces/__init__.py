"""Faces: boxes, the MTCNN detector, tracks and crops."""
