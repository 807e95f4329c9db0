"""The labelling classifier of the faces."""

from face_attributes import FaceAttributes, load_attributes


def load() -> FaceAttributes:
    """Seven attributes as faces_labels.json says."""
    return load_attributes("faces_labels.json")
