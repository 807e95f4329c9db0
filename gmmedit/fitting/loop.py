"""What both fit stages share: models in and out of artifacts, and the loop with its checkpoints."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.errors import RunError
from gmmedit.fitting.data import Problem, held_out_report
from gmmedit.mixture.adam import Chain, Fit
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.folder import to_tensors
from gmmedit.runtime.cost import metered, write_cost
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import asked, stop_if_asked

CHECKPOINT_EVERY = 200  # steps
RECORD_EVERY = 10


History = dict[str, list[float]]


def carry_out(path: Path, spec: RunSpec, fit: Fit | Chain, execution: Execution) -> History:
    """Run the fit to its end, from its checkpoint if there is one; the losses along the way.

    Several processes take every step together, and the main one alone saves it.

    RunError: the fit diverged; the checkpoint before that is kept. Stopped: it goes on from the step it was at.
    """
    main = execution.processes.main
    saved = execution.processes.main_first(
        lambda: artifacts.load_checkpoint(path, spec, execution.restart, execution.force)
    )
    history: History = {}
    if saved is not None:
        history = {k.removeprefix("history/"): v.tolist() for k, v in saved.items() if k.startswith("history/")}
        fit.load_state(to_tensors({k.removeprefix("fit/"): v for k, v in saved.items() if k.startswith("fit/")}))
    try:
        with metered() as cost:
            for done in fit:
                if (fit.count - 1) % RECORD_EVERY == 0:
                    record(history, {"step": fit.count - 1, "loss": done.loss, **done.terms})
                if main and (fit.count % CHECKPOINT_EVERY == 0 or asked()):
                    artifacts.save_checkpoint(path, spec, checkpoint(fit, history))
                if main:  # the others end with it
                    stop_if_asked()
                execution.tick(fit.count, fit.steps, f"{spec.kind}, loss {done.loss:.4f}")
    except FloatingPointError as error:
        message, _, hint = str(error).partition(": ")
        raise RunError(message, hint=hint) from error
    if main and saved is None:  # of a fit that was stopped, only a part would be known
        write_cost(path.parent, spec.kind, cost)
    return history


def record(history: History, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        history.setdefault(name, []).append(value)


def write_fit(
    path: Path, spec: RunSpec, history: History,
    model: AttributeMixture, problem: Problem, facts: Mapping[str, object],
) -> None:  # fmt: skip
    """Write the finished artifact: parameters, chart, history, and how well held-out samples are read.

    RunError: one of the parameters is no number.
    """
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise RunError("the fit ended in numbers that are none", hint="lower the learning rate, or take more samples")
    parameters = {f"parameters/{name}": value.detach().numpy() for name, value in model.state_dict().items()}
    chart = {f"chart/{name}": value.numpy() for name, value in problem.chart.arrays().items()}
    report = {f"report/{name}": value for name, value in held_out_report(model, problem).items()}
    notes = {"notes": problem.notes} if problem.notes else {}
    artifacts.write_whole(path, spec, parameters | chart | report | history_arrays(history), {**facts, **notes})


def checkpoint(fit: Fit | Chain, history: History) -> dict[str, np.ndarray]:
    state = {f"fit/{name}": value.detach().numpy() for name, value in fit.state().items()}
    return state | history_arrays(history)


def history_arrays(history: History) -> dict[str, np.ndarray]:
    arrays = {f"history/{name}": np.asarray(values) for name, values in history.items()}
    return arrays | {"history/step": np.asarray(history["step"], dtype=np.int64)}
