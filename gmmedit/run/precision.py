"""What a precision of `auto` comes to, and that a step goes on in the precision in which it was begun."""

from dataclasses import replace
from pathlib import Path

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.runtime.execution import Execution, resolve_precision


def settle_precision(path: Path, spec: RunSpec, execution: Execution) -> RunSpec:
    """The spec, with what a precision of `auto` comes to here, for all processes of the command.

    A file that was begun goes on in the precision that it has, wherever that was, so that its bytes stay the same.
    """
    if spec.config["precision"] != "auto":
        return spec

    def found() -> str:
        before = None if execution.restart else artifacts.read_partial_spec(path)
        recorded = before.resolved_config.get("precision") if before else None
        return recorded if recorded in ("fp32", "bf16") else resolve_precision("auto", execution.device)

    return replace(spec, resolved={"precision": execution.processes.broadcast(found)})
