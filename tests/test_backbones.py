"""Features of transformers folders: CLIP, SigLIP, models with and without a pooler, classifiers without their head."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_networks as small
import torch
from safetensors.torch import load_file, save_file
from test_embedding import described, refused
from torch import Tensor, nn

from gmmedit.classifiers.huggingface import read_preprocessing
from gmmedit.features import load_embedder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of transformers, each with a processor."""
    folder = tmp_path_factory.mktemp("models")
    library, sizes = small.transformers(), {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}
    small.vit(folder / "classifier", ["cat", "dog"])
    small.clip(folder / "clip")
    small.siglip(folder / "siglip")
    torch.manual_seed(4)
    segformer = library.SegformerConfig(**sizes, num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8)
    made = {
        "pooled": library.ViTModel(library.ViTConfig(**small.VISION)),
        "bare": library.ViTModel(library.ViTConfig(**small.VISION), add_pooling_layer=False),  # as DINO's are
        "maps": library.SegformerForImageClassification(segformer),
        "masked": library.ViTMAEModel(library.ViTMAEConfig(**small.VISION)),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        (folder / name / "preprocessor_config.json").write_text(json.dumps(small.PROCESSOR))
    return folder


@pytest.fixture
def own(models: Path, tmp_path: Path) -> Path:
    """A copy of the models for one test to change."""
    return shutil.copytree(models, tmp_path / "models")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(5, 3, 48, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def processed(folder: Path, images: Tensor) -> Tensor:
    prepare = read_preprocessing(folder)
    assert prepare is not None
    return prepare(images)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_clip_and_siglip_give_the_embeddings_of_pictures(models: Path, images: Tensor, kind: str) -> None:
    phi = load_embedder(str(models / kind))
    assert phi.input_size == (32, 32)
    model = small.transformers().AutoModel.from_pretrained(models / kind).eval()
    text = {"input_ids": torch.tensor([[1, 2, 3]])}
    with torch.no_grad():
        answer = model(pixel_values=processed(models / kind, images), **text)
    found = nn.functional.normalize(phi.features(images))
    torch.testing.assert_close(found, answer.image_embeds, atol=1e-5, rtol=0)
    assert found.std(0).max() > 0.01, "the pictures must differ for this to say anything"


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("pooled", lambda found: found.pooler_output),
        ("bare", lambda found: found.last_hidden_state.mean(1)),
        ("classifier", lambda found: found.last_hidden_state.mean(1)),  # its pooler was never trained
        ("maps", lambda found: found.last_hidden_state.mean((2, 3))),
    ],
)
def test_models_without_words_are_pooled(
    models: Path, images: Tensor, name: str, features: Callable[[Any], Tensor]
) -> None:
    phi = load_embedder(str(models / name))
    model = small.transformers().AutoModel.from_pretrained(models / name).eval()
    with torch.no_grad():
        wanted = features(model(pixel_values=processed(models / name, images)))
    found = phi.features(images)
    assert found.shape == (5, 8 if name == "maps" else 16)
    torch.testing.assert_close(found, wanted)
    assert load_embedder(str(models / name)).fingerprint == phi.fingerprint


def test_a_folder_with_other_pictures_than_its_own(models: Path, images: Tensor) -> None:
    plain = load_embedder(str(models / "clip"))
    same = load_embedder(described(models, "clip", ""))
    other = load_embedder(described(models, "clip", "input: {size: 32, mean: [0.5], std: [0.5]}"))
    assert plain.fingerprint == same.fingerprint != other.fingerprint
    assert torch.equal(plain.features(images), same.features(images))
    assert not torch.allclose(plain.features(images), other.features(images), atol=1e-3)


def test_folders_that_do_not_fit(own: Path) -> None:
    refused(own / "masked", "returns different features")
    (own / "pooled" / "preprocessor_config.json").unlink()
    refused(own / "pooled", "does not tell the preprocessing of its images", "docs/evaluation.md")
    weights = own / "bare" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: it for name, it in tensors.items() if name != "layernorm.bias"}, weights, {"format": "pt"})
    refused(own / "bare", "bare has no weights for layernorm.bias")
