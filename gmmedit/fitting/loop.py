"""The loop of both fits with its checkpoints, and writing what they fitted."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.errors import RunError
from gmmedit.fitting.data import Problem, held_out_report
from gmmedit.mixture.adam import Chain, Fit, has_converged
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.watching import WatchedFit
from gmmedit.run.fitted import to_tensors
from gmmedit.runtime.cost import measure_cost, write_cost
from gmmedit.runtime.execution import Execution

CHECKPOINT_EVERY = 200  # steps
RECORD_EVERY = 10  # steps

History = dict[str, list[float]]


def run_fit(path: Path, spec: RunSpec, fit: Fit | Chain, execution: Execution) -> History:
    """Run the fit to its end, resuming its checkpoint if there is one; returns every RECORD_EVERY steps' losses.

    Several processes take every step together; the main one saves checkpoints.

    RunError: the fit diverged; the last checkpoint is kept. Stopped: a signal asked for it; a checkpoint was saved.
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
        with measure_cost() as cost:
            for done in fit:
                if (fit.count - 1) % RECORD_EVERY == 0:
                    record_step(history, {"step": fit.count - 1, "loss": done.loss, **done.terms})
                if main and (fit.count % CHECKPOINT_EVERY == 0 or execution.stop.asked):
                    artifacts.save_checkpoint(path, spec, checkpoint_arrays(fit, history))
                if main:  # the other processes end with it
                    execution.stop.check()
                name, count, steps = describe_progress(fit, spec.kind)
                execution.tick(count, steps, f"{name}, loss {done.loss:.4f}")
    except FloatingPointError as error:
        message, _, hint = str(error).partition(": ")
        raise RunError(message, hint=hint) from error
    if main and saved is None:  # the cost of a resumed fit is known only in part
        write_cost(path.parent, spec.kind, cost)
    return history


def describe_progress(fit: Fit | Chain, kind: str) -> tuple[str, int, int]:
    """Of several fits the one that made the last step: its place and name, the steps it has made, and their bound."""
    if not isinstance(fit, Chain):
        return kind, fit.count, fit.steps
    places = list(enumerate(fit.fits.items(), start=1))
    place, (name, own) = next(part for part in reversed(places) if part[1][1].count)
    part = "" if len(places) == 1 else f", fit {place} of {len(places)}" + ("" if name == kind else f" ({name})")
    return kind + part, own.count, own.steps


def record_step(history: History, values: Mapping[str, float]) -> None:
    """Append the values of one step to the history, which has the terms of the first of several fits."""
    if history and history.keys() != values.keys():
        return
    for name, value in values.items():
        history.setdefault(name, []).append(value)


def write_fit(
    path: Path, spec: RunSpec, history: History,
    model: AttributeMixture, problem: Problem, facts: Mapping[str, object],
    more: Mapping[str, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Write the finished artifact: parameters, chart, history, `held_out_report`, and `more` datasets.

    RunError: a parameter is not finite.
    """
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise RunError("the fit ended with non-finite values", hint="lower the learning rate, or use more samples")
    parameters = {f"parameters/{name}": value.detach().numpy() for name, value in model.state_dict().items()}
    chart = {f"chart/{name}": value.numpy() for name, value in problem.chart.arrays().items()}
    report = {f"report/{name}": value for name, value in held_out_report(model, problem).items()}
    notes = {"notes": problem.notes} if problem.notes else {}
    artifacts.write_whole(
        path, spec, parameters | chart | report | history_arrays(history) | dict(more or {}), {**facts, **notes}
    )


def describe_end(fit: Fit) -> dict[str, object]:
    """Root attributes: the steps of a fit and whether it converged.

    settled: the step from which edits of held-out samples did not improve; 0: they did until the last step.
    """
    facts: dict[str, object] = {"converged": has_converged(fit.history), "steps": fit.count}
    if isinstance(fit, WatchedFit):
        facts["settled"] = fit.settled_at
    return facts


def checkpoint_arrays(fit: Fit | Chain, history: History) -> dict[str, np.ndarray]:
    """The fit's state and history as the arrays of a checkpoint."""
    state = {f"fit/{name}": value.detach().numpy() for name, value in fit.state().items()}
    return state | history_arrays(history)


def history_arrays(history: History) -> dict[str, np.ndarray]:
    """The history as datasets history/NAME (T,); the steps are int64."""
    arrays = {f"history/{name}": np.asarray(values) for name, values in history.items()}
    return arrays | {"history/step": np.asarray(history["step"], dtype=np.int64)}
