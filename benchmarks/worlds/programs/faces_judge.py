"""The evaluation classifier of the faces: other crops, mirrored ones too, and the other landmark network."""

from face_attributes import FaceAttributes, load_attributes


def load() -> FaceAttributes:
    """Seven attributes as faces_judge.json says."""
    return load_attributes("faces_judge.json")
