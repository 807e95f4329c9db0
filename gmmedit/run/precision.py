"""The precision that `auto` resolves to; a resumed step keeps the precision it was started with."""

from dataclasses import replace
from pathlib import Path

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
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
