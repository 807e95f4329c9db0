"""The section of discovered directions: cosines with the mixture's attribute subspaces, and what each changes.

Two views of one latent space that check each other: the directions were found without labels, the subspaces by them.
"""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.discovery.reading import read_directions
from gmmedit.discovery.summary import direction_rows
from gmmedit.errors import InputError
from gmmedit.pictures.markup import Html, heat_map, note, paragraph
from gmmedit.pictures.page import Section
from gmmedit.run.folder import RunFolder

MEASURED_ON = 64  # samples at which both are compared


def directions_section(run: RunFolder) -> list[Section]:
    """The section; none without directions.h5."""
    if not run.file("directions").exists():
        return []
    artifact = run.find("directions")
    if artifact is None:
        return [Section("directions", "Discovered directions", [note(run.missing["directions"])])]
    config = artifact.spec.config
    opening = paragraph(
        f"{len(artifact['scale'])} directions in {str(config['space']).upper()}, found without labels (method "
        f"{config['method']}). directions/sheet.png shows a strip of each."
    )
    return [Section("directions", "Discovered directions", [opening, *compare_with_mixture(run, artifact)])]


def compare_with_mixture(run: RunFolder, artifact: Artifact) -> list[Html]:
    """The table of cosines; a note where the run has no mixture in the same space."""
    mixture = run.opened.get("mixture")
    if mixture is None or mixture.spec.config["space"] != artifact.spec.config["space"]:
        return [note("no cosines: there is no mixture.h5 in the space of the directions")]
    try:
        cosines, described = measure_cosines(run, artifact), direction_rows(artifact)
    except (InputError, RuntimeError) as error:
        return [note(f"no cosines: {str(error).splitlines()[0]}")]
    attributes = [name for name, _ in mixture.attributes]
    rows = [
        f"{row['direction']}" + ("" if row["label"] is None else f" ({row['label']} {row['correlation']:+.2f})")
        for row in described
    ]
    chance = " ".join(f"{name} {value:.2f}" for name, value in zip(attributes, chance_cosines(run), strict=True))
    caption = (
        "Cosine of each discovered direction with the subspace of each attribute of the mixture, from 0 (across it) to "
        "1 (inside it), averaged over samples. In brackets: the label that its coordinate correlates with most. "
        f"Expected of a random direction: {chance}."
    )
    texts = [[f"{value:.2f}" for value in row] for row in cosines]
    return [heat_map(attributes, rows, cosines, texts, caption)]


@torch.no_grad()
def measure_cosines(run: RunFolder, artifact: Artifact) -> np.ndarray:
    """The cosines (k, A) of directions with the attributes' subspaces, in the mixture's coordinates, over samples."""
    directions, chart, model = read_directions(artifact), run.chart(), run.model()
    latents = torch.from_numpy(run.samples.rows(directions.space, 0, MEASURED_ON))
    x = chart.to_x(latents)
    bases = subspace_bases(run, x)
    cosines = torch.zeros(len(directions.steps), len(model.layout.rows))
    for number in range(len(directions.steps)):
        moved = chart.to_x(directions.move(latents[:, None], {number: 1.0})[:, 0])
        unit = torch.nn.functional.normalize(moved - x, dim=1)
        for a, basis in enumerate(bases):
            cosines[number, a] = (unit[:, None] @ basis)[:, 0].norm(dim=1).mean()
    return cosines.numpy()


def subspace_bases(run: RunFolder, x: Tensor) -> list[Tensor]:
    """Orthonormal bases (n, D', r_a) of the attributes' directions dy/dx at coordinates x (n, D')."""
    model = run.model()
    jacobian = model.coordinates.jacobian(x)
    return [torch.linalg.qr(jacobian[:, rows].mT.expand(len(x), -1, -1)).Q for rows in model.layout.rows]


def chance_cosines(run: RunFolder) -> list[float]:
    """The expected cosine of a random direction with each attribute's subspace: about the root of r_a / D'."""
    dim = run.chart().dim
    return [float(np.sqrt((rows.stop - rows.start) / dim)) for rows in run.model().layout.rows]
