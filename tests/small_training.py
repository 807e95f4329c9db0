"""A training that takes a second."""

from dataclasses import replace

import pytest


@pytest.fixture
def tiny_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """`gmmedit train classifier` in three steps, each of which is logged and saved."""
    from gmmedit.training import embedded, loop
    from gmmedit.training.classifier import LABELLING

    network = replace(LABELLING.network, widths=(4, 8), features=8)
    settings = replace(LABELLING, network=network, images=24, batch=8)
    monkeypatch.setitem(embedded.NETWORKS, "labelling", ("classifier", settings))
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 1)
