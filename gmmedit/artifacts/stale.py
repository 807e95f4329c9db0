"""Which steps of a run must be run again, because what they were made from has changed, and in which order."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from gmmedit.artifacts.provenance import file_fingerprint
from gmmedit.artifacts.reading import open_artifact
from gmmedit.artifacts.schema import KINDS
from gmmedit.errors import InputError

STEPS = ("samples", "labels", "single", "mixture")  # parents before their children


def commands_to_redo(folder: Path, kinds: Iterable[str] = STEPS, known: Collection[str] = ()) -> list[str]:
    """The command lines that bring the artifacts of a run up to date, in order.

    kinds: of the artifacts, parents before their children; one that is missing counts if a later one is not. Where
    labels are of photographs, their inversions come first. known: those that are stale whatever they record.
    """
    names = list(kinds)
    if "labels" in names and labels_photographs(folder):
        names = [name for name in names if name != "inversions"]
        names.insert(names.index("labels"), "inversions")
    exists = {name: (folder / f"{name}.h5").is_file() for name in names}
    while names and not exists[names[-1]]:
        names.pop()
    redone: list[str] = []
    for name in names:
        if name in known or not exists[name] or is_stale(folder / f"{name}.h5", name, redone):
            redone.append(name)
    return [command_of(folder, name, exists[name]) for name in redone]


def command_of(folder: Path, name: str, exists: bool) -> str:
    """The command line for an artifact of a run; labels are those of the same classifier or table again."""
    with suppress(InputError), open_artifact(folder / f"{name}.h5", name) as artifact:
        return artifact.spec.command_on(folder)
    return KINDS[name].command_on(folder, force=exists)


def parents_of(folder: Path, kind: str) -> tuple[str, ...]:
    """The kinds of the parents that an artifact of a run records; none if it is missing or unreadable."""
    with suppress(InputError), open_artifact(folder / f"{kind}.h5", kind) as artifact:
        return tuple(artifact.spec.parents)
    return ()


def labels_photographs(folder: Path) -> bool:
    """Whether labels.h5 of a run is of photographs of its inversions.h5."""
    return "inversions" in parents_of(folder, "labels")


def is_stale(path: Path, kind: str, redone: Collection[str]) -> bool:
    """Whether an artifact is unreadable, or one of its parents beside it is another one now or is among `redone`."""
    try:
        with open_artifact(path, kind) as artifact:
            parents = {path.with_name(f"{name}.h5"): recorded for name, recorded in artifact.spec.parents.items()}
    except InputError:
        return True
    if any(parent.stem in redone for parent in parents):
        return True
    return any(parent.is_file() and file_fingerprint(parent) != recorded for parent, recorded in parents.items())


def redo_hint(folder: Path, kind: str) -> str:
    """The hint to run all stale steps of a run, the oldest first, and the command of `kind`, which is stale."""
    return f"run: {' && '.join(commands_to_redo(folder, steps_to(folder, kind), known=(kind,)))}"


def steps_to(folder: Path, kind: str) -> list[str]:
    """The steps, and `kind` if it is none; of what comes before an artifact only what it was made from.

    Inversions were compared with labels that may now be of these photographs.
    """
    parents = [step for step in STEPS if step in parents_of(folder, kind)]
    if kind in STEPS or not parents:
        return [*dict.fromkeys((*STEPS, kind))]
    last = "samples" if kind == "inversions" and labels_photographs(folder) else parents[-1]
    return [*STEPS[: STEPS.index(last) + 1], kind]
