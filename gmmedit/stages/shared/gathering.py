"""The artifacts of a run that are there, and what to do about those that are not."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError
from gmmedit.stages.shared.judging import check_unseen

STAGES = ("samples", "labels", "single", "mixture", "evaluation", "comparison")


@dataclass(frozen=True)
class Gathered:
    """Artifacts by kind, and a line for each that is missing or does not belong to the others."""

    there: dict[str, Artifact]
    missing: dict[str, str]

    @property
    def attributes(self) -> list[tuple[str, list[str]]]:
        """Names and values; empty while nothing is labelled."""
        return next((it.attributes for it in self.there.values() if it.attributes), [])


@contextmanager
def gathered(folder: Path) -> Iterator[Gathered]:
    """The artifacts of a run folder, open for reading. InputError: there is none."""
    there: dict[str, Artifact] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for kind in STAGES:
            try:
                artifact = stack.enter_context(artifacts.open(folder / f"{kind}.h5", kind))
                check_parents(artifact, there)
                there[kind] = artifact
            except InputError as error:
                missing[kind] = one_line(error, folder)
        if not there:
            raise InputError(f"{folder} holds no artifact to report on", hint="gmmedit sample, then the steps after it")
        yield Gathered(there, missing)


def check_parents(artifact: Artifact, there: dict[str, Artifact]) -> None:
    """InputError: it was made from others than those, or on samples that the fit has seen. (The judge of an evaluation
    is another classifier by design.)"""
    for name, fingerprint in artifact.question.parents.items():
        if name in there and there[name].fingerprint != fingerprint:
            hint = f"make it again: {artifact.kind.command} --force"
            raise InputError(f"{artifact.path} was made from another {name}.h5", hint=hint)
    if "samples" in there:
        check_unseen(artifact, there["samples"])


def one_line(error: InputError, folder: Path) -> str:
    """What is wrong and what to do, without the folder: it is no part of the result."""
    text = f"{error.message}: {error.hint}" if error.hint else error.message
    return text.replace(f"{folder}/", "")
