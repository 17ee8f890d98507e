"""Data: manifest, splits, video reading, the face store and its tf.data datasets."""
