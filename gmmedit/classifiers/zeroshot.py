"""Zero-shot classifiers: CLIP and SigLIP of the transformers library, with prompts for each value.

An image's score for a value is the cosine of its embedding and the value's, times the model's own scale
(Radford et al. 2021). A value's embedding is the mean over all its texts in all templates. Calibrated
(`calibration.py`), the scores of an attribute's values are logits of a softmax.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.classifiers.description import Description
from gmmedit.classifiers.huggingface import (
    EXTRA,
    check_complete,
    fingerprint_model,
    import_transformers,
    load_model,
    read_preprocessing,
    unwrap_embeddings,
)
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.errors import InputError
from gmmedit.networks import first_line

AT_ONCE = 64  # texts per call
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")


def read_zeroshot(folder: Path, description: Description, device: str) -> OpenedNetwork:
    """The network whose outputs are the scores of all values. InputError: the folder holds no such model."""
    model, missing = load_model(folder, "AutoModel", device)
    if not hasattr(model, "get_text_features") or not hasattr(model, "logit_scale"):
        message = f"{folder} holds a {model.config.model_type} model, prompts need CLIP or SigLIP"
        raise InputError(message, hint="remove `prompts` for an image classifier")
    check_complete(folder, missing)
    fingerprint = fingerprint_model(model)
    tokenizer = load_tokenizer(folder)
    prompts = [texts for values in (description.prompts or {}).values() for texts in values.values()]
    values = torch.stack([embed_value(model, tokenizer, texts, description.templates, device) for texts in prompts])
    scaled = values * model.logit_scale.exp()
    model.text_model = None  # half of the weights, not needed any more

    def forward(pixels: Tensor) -> Tensor:
        vectors = unwrap_embeddings(model.get_image_features(pixel_values=pixels)).float()
        with torch.autocast(vectors.device.type, enabled=False):  # bfloat16's error of a cosine is a whole logit
            return F.normalize(vectors, dim=1) @ scaled.mT

    prepare = None if description.input else read_preprocessing(folder, model.config)
    return OpenedNetwork(forward, fingerprint, prepare, activation="softmax")


def load_tokenizer(folder: Path) -> Any:
    """InputError: the folder has none, or one that needs further libraries."""
    if not any((folder / name).is_file() for name in VOCABULARIES):  # the library would create an empty one
        raise InputError(f"{folder} has no tokenizer", hint=f"it needs {VOCABULARIES[0]}, as save_pretrained writes it")
    try:
        return import_transformers().AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the library raises whatever its parts raise
        raise InputError(f"the tokenizer in {folder} cannot be loaded: {first_line(error)}", hint=EXTRA) from error


@torch.no_grad()
def embed_value(model: Any, tokenizer: Any, texts: list[str], templates: list[str], device: str) -> Tensor:
    """The unit vector (E,) of one value: the mean over its texts in every template."""
    sentences = [template.replace("{}", text) for template in templates for text in texts]
    parts = [sentences[i : i + AT_ONCE] for i in range(0, len(sentences), AT_ONCE)]
    found = [unwrap_embeddings(model.get_text_features(**tokenize(model, tokenizer, part, device))) for part in parts]
    return F.normalize(F.normalize(torch.cat(found), dim=1).mean(0), dim=0)


def tokenize(model: Any, tokenizer: Any, sentences: list[str], device: str) -> dict[str, Tensor]:
    """The sentences as the model was trained to read them: CLIP with a mask, SigLIP padded to its full length."""
    full = model.config.model_type.startswith("siglip")
    longest = model.config.text_config.max_position_embeddings
    padding = "max_length" if full else True
    found = tokenizer(sentences, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
    wanted = ("input_ids",) if full else ("input_ids", "attention_mask")
    return {name: found[name].to(device) for name in wanted}
