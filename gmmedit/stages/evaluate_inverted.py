"""Score edits of photographs, each at strength 1 towards every value that it lacks, as `edit --inverted` makes them.

Reads inversions.h5, samples.h5 to mixture.h5, generator and classifiers; writes inverted_evaluation.h5 and its figures
as .jsonl. Resumes photograph by photograph.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import EditSettings, EvaluateSettings
from gmmedit.editing.inverted import describe_unlike, find_tuned_source, read_inverted
from gmmedit.editing.session import BY_MIXTURE, EditSession, open_session
from gmmedit.evaluation.inverted import write_inverted_figures
from gmmedit.evaluation.judge import (
    Evaluators,
    Judge,
    draw_unseen,
    evaluation_classifier_of,
    load_evaluators,
    make_judge,
    observe_samples,
)
from gmmedit.evaluation.metrics import editing, realism
from gmmedit.mixture import Layout
from gmmedit.pictures.pixels import from_bytes, to_bytes
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.hold_out import first_unseen
from gmmedit.runtime.execution import Execution, prepare


@dataclass(frozen=True)
class Scoring:
    """What scores the edits of one photograph after the other."""

    session: EditSession
    judge: Judge
    layout: Layout

    def score(self, number: int, photograph: np.ndarray, latent: Tensor) -> Iterator[tuple[str, np.ndarray]]:
        """The datasets of one row: of photograph `number`, uint8 (H, W, C), and its latent (1, L, D)."""
        k, execution = self.layout.categories, self.judge.execution
        label, feature = self.observe(photograph[None])
        unedited = self.render(latent)
        before = self.observe(unedited)
        edited = np.full((1, k, k), np.nan, np.float32)
        identity, pixels = np.full((2, 1, k), np.nan, np.float32)
        own = editing.values_of(label, self.layout.columns)[0]
        editor = self.session.make_editor([number])
        for category in range(k):
            attribute, value = self.layout.locate(category)
            if own[attribute] == value:
                continue
            execution.stop.check()
            shown = self.render(self.session.move(editor, latent, [(category, torch.ones(1))]))
            if self.session.pastes:
                one = torch.ones(1)
                shown = self.session.paste(shown[None], unedited, photograph[None], [(one, [(category, one)])])[0][0]
            after = self.observe(shown)
            edited[0, category] = after[0].numpy()
            identity[0, category] = compare(feature, after[1])
            beside = photograph[None] if self.session.pastes else unedited
            pixels[0, category] = np.abs(shown.astype(np.float64) - beside).mean() / 127.5
        yield "photograph_logits", label.numpy()
        yield "logits", before[0].numpy()
        yield "identity", np.array([compare(feature, before[1])], np.float32)
        yield "edited_logits", edited
        yield "edited_identity", identity
        yield "edited_pixels", pixels

    def render(self, latent: Tensor) -> np.ndarray:
        """The image of a latent (1, L, D), uint8 (1, H, W, C)."""
        return to_bytes(self.judge.renderer.generate(latent, self.judge.space))

    def observe(self, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Logits (1, K) and features (1, F) of an image uint8 (1, H, W, C)."""
        logits, _, features = self.judge.observe_images(from_bytes(pixels).to(self.judge.execution.device))
        return logits.float().cpu(), features


def compare(features: Tensor, others: Tensor) -> float:
    """The cosine of two images' features (1, F); NaN if there are none."""
    return float(realism.identity(features, others)) if features.shape[1] else float("nan")


@torch.no_grad()
def run(folder: Path, settings: EvaluateSettings, execution: Execution, most: int | None = None) -> Path:
    """Write folder/inverted_evaluation.h5 of at most so many photographs, the first, and its figures beside it.

    InputError: an artifact or network is missing or has changed, or the photographs were inverted in another space.
    """
    prepare(execution)
    path = folder / "inverted_evaluation.h5"
    with RunFolder(folder, execution) as run_folder:
        mixture, inversions = run_folder.artifact("mixture"), run_folder.artifact("inversions")
        first = tuple(range(min(most or inversions.spec.n, inversions.spec.n)))
        index, latents = read_inverted(inversions, first, run_folder.fitted_space)
        evaluators = load_evaluators(settings, run_folder)
        named = {"classifier": evaluation_classifier_of(settings, run_folder.labels)}
        settings = settings.model_copy(update=named)
        session = open_session(run_folder, edit_settings(run_folder, settings))
        spec = run_spec(mixture, inversions, evaluators, settings, session, len(index))
        if not artifacts.is_up_to_date(path, spec, execution):
            scoring = Scoring(session, open_judge(run_folder, evaluators, settings, session), layout_of(mixture))
            own = [note for note in session.notes if not note.startswith(BY_MIXTURE)]  # the judge labels here
            notes = [*own, *scoring.judge.notes, *describe_unlike(inversions, index)]
            write_scores(
                path, spec, scoring, inversions.rows("images", 0, len(index)), session.to_layers(latents), notes
            )
    write_inverted_figures(path)
    return path


def edit_settings(run_folder: RunFolder, settings: EvaluateSettings) -> EditSettings:
    """The settings of the edits, through the generator that was tuned around the inversions, if there is one."""
    return EditSettings(
        polish=settings.polish, picture=settings.picture, seed=settings.seed,
        precision="bf16" if settings.precision == "bf16" else "fp32",
        gan=find_tuned_source(run_folder),
    )  # fmt: skip


def open_judge(run_folder: RunFolder, networks: Evaluators, settings: EvaluateSettings, session: EditSession) -> Judge:
    """The judge of what the session's generator makes; a classifier that needs it is calibrated on unseen samples."""
    space = run_folder.fitted_space
    judge = make_judge(settings, networks, space, run_folder)
    if judge.classifier.calibration is not None and not judge.labelling:
        first = first_unseen(settings.first_seed, settings.n, run_folder.samples)
        observe_samples(judge, draw_unseen(judge.renderer, space, settings.model_copy(update={"first_seed": first})))
    return replace(judge, renderer=session.renderer)


def write_scores(
    path: Path, spec: RunSpec, scoring: Scoring, photographs: np.ndarray, latents: Tensor, notes: list[str]
) -> None:
    """Write the scores of photographs uint8 (N, H, W, C) and their latents (N, L, D), one after the other."""
    execution = scoring.judge.execution
    facts = {"notes": notes, "contrast": scoring.session.contrast}
    with artifacts.create_rows(path, spec, {}, 1, execution.restart, attrs=facts, force=execution.force) as writer:
        for start, stop in writer.pending():
            execution.stop.check()
            writer.write(start, stop, dict(scoring.score(start, photographs[start], latents[start:stop])))
            execution.tick(stop, len(latents), "photographs")
        writer.finish()


def run_spec(
    mixture: Artifact, inversions: Artifact, networks: Evaluators, settings: EvaluateSettings, session: EditSession,
    n: int,
) -> RunSpec:  # fmt: skip
    """The specification of inverted_evaluation.h5 of the first n photographs."""
    used = {"classifier", "features", "polish", "picture", "precision", "seed"}
    config = settings.model_dump(include=used) | {
        "space": mixture.spec.config["space"],
        **networks.facts,
        "files": inversions.spec.config["files"][:n],
        "paste": session.pastes,
    }
    if session.settings.gan:
        config |= {
            "gan": artifacts.network_source(session.settings.gan),
            "gan_fingerprint": session.renderer.generator.fingerprint,
        }
    return RunSpec(
        kind="inverted_evaluation",
        n=n,
        seed=settings.seed,
        config=config,
        sizes={"K": layout_of(mixture).categories},
        parents={"mixture": mixture.fingerprint, "inversions": inversions.fingerprint},
        generator=mixture.spec.generator,
        classifier=artifacts.network_record(settings.classifier, networks.classifier.fingerprint),
        attributes=mixture.spec.attributes,
    )
