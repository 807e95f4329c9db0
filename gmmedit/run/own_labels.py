"""Tables of labels: of photographs, whose rows become those of inversions.h5, or of samples."""

from pathlib import Path

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.errors import InputError


def join_photographs(classifier: Classifier, name: str, inversions: Artifact) -> None:
    """Make the table's rows those of inversions.h5. InputError: it is no table, or `Classifier.join_files` fails."""
    if classifier.sees_images:
        message = f"label --inverted needs a table of labels, {name} classifies images"
        raise InputError(message, hint="--classifier labels.csv with a column of file names; or omit --inverted")
    classifier.join_files(inversions.spec.config["files"])


def refuse_photographs(classifier: Classifier, name: str, path: Path) -> None:
    """InputError: a table that is to label samples names photographs, of the inversions.h5 at `path` or beside it.

    So does an inversions.h5 that cannot be read, as it may be of the photographs that the table names.
    """
    files = []
    if not classifier.sees_images and path.exists():
        with artifacts.open(path, "inversions") as inversions:
            files = inversions.spec.config["files"]
    found = classifier.find_photographs(files)
    if found is not None:
        first = "" if files else "gmmedit invert the photographs, then "
        hint = f"{first}label --inverted; if they are numbers of samples, by: row or by: seed in a YAML file"
        raise InputError(f"{name} labels photographs ({found}), not samples", hint=hint)
