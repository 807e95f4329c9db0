"""The precision that `auto` resolves to, which a resumed step keeps; and what bf16 changes."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.classifiers import Classifier
from gmmedit.errors import InputError
from gmmedit.runtime.execution import Execution, resolve_precision


def settle_precision(path: Path, spec: RunSpec, execution: Execution) -> RunSpec:
    """The spec with the precision `auto` resolved on this machine, the same in all processes of the command.

    An unfinished file keeps its precision, whatever machine it was started on: its bytes do not depend on where it
    is resumed.
    """
    if spec.config["precision"] != "auto":
        return spec

    def resolve() -> str:
        before = None if execution.restart else artifacts.read_partial_spec(path)
        recorded = before.resolved_config.get("precision") if before else None
        return recorded if recorded in ("fp32", "bf16") else resolve_precision("auto", execution.device)

    return replace(spec, resolved={"precision": execution.processes.broadcast(resolve)})


def describe_rounding(classifier: Classifier, exact: tuple[Tensor, Tensor], rough: tuple[Tensor, Tensor]) -> str:
    """A note on how bf16 changes images and labels.

    exact, rough: images (N, C, H, W) and logits (N, K) in fp32 and in bf16. InputError: only the rough are not finite.
    """
    (images, logits), (rough_images, rough_logits) = exact, rough
    if logits.isfinite().all() and not rough_logits.isfinite().all():
        raise InputError(
            "the classifier gives NaN or infinite labels in bf16, but not in fp32", hint="--precision fp32"
        )
    error = (rough_images - images).square().mean().sqrt() / images.std()
    moved = (classifier.from_logits(rough_logits.cpu()) - classifier.from_logits(logits.cpu())).abs()
    return (
        f"bf16 changes the first {len(images)} images by {error:.1%} of their standard deviation (rms), "
        f"their labels by {moved.mean():.4f} on average, at most {moved.max():.3f}"
    )
