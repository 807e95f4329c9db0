"""Whether a network is the one that an artifact was made with, or can take its place."""

from pathlib import Path

from gmmedit.artifacts import Artifact
from gmmedit.classifiers.files import SUFFIXES
from gmmedit.errors import InputError
from gmmedit.generators import Generator


def check_compatible(generator: Generator, own: Generator, source: str) -> None:
    """InputError: latents of a run's own generator do not suit another one, of that source."""
    for found, wanted in zip(describe_needs(generator), describe_needs(own), strict=True):
        if found != wanted:
            message = f"{source} has {found}, the run's generator has {wanted}"
            raise InputError(message, hint="edit --gan needs a fine-tuned copy of the run's generator")


def describe_needs(generator: Generator) -> tuple[str, str, str]:
    """What two generators must share so that latents of one suit the other, as texts: spaces, images, classes."""
    channels, height, width = generator.image_shape
    spaces = ", ".join(map(str, generator.spaces.values()))
    return spaces, f"images of {height} x {width} pixels and {channels} channels", f"{generator.n_classes} classes"


def check_fingerprint(artifact: Artifact, part: str, recorded: object, fingerprint: str) -> None:
    """InputError: the fingerprint of a network (`part`) differs from the recorded one."""
    expected = recorded["fingerprint"] if isinstance(recorded, dict) else None
    if expected != fingerprint:
        found = f"fingerprint {fingerprint[:12]}, {artifact.path} was made with {str(expected)[:12]}"
        raise InputError(f"the {part} has changed ({found})", hint=artifact.again)


def recorded_classifier(artifact: Artifact) -> str:
    """The classifier that an artifact was made with. InputError: none is recorded, or as `check_there`."""
    name = artifact.spec.config.get("classifier")
    if not isinstance(name, str):
        message = f"{artifact.path} does not record the classifier it was made with"
        raise InputError(message, hint=artifact.again)
    check_there(artifact, name)
    return name


def check_there(artifact: Artifact, name: str) -> None:
    """InputError: the classifier that an artifact was made with is a file or a table that is no longer there."""
    path = Path(name)
    if path.suffix.lower() in SUFFIXES and not path.exists():
        message = f"{artifact.path} was made with {name}, which is not there"
        raise InputError(message, hint=f"put {path.name} back; a relative path is from the folder it was named in")
