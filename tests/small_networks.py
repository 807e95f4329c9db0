"""Tiny networks of every kind that a classifier's file can be, reading 32-pixel pictures."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 32


class Linear(nn.Module):
    """Outputs (N, n) that are linear in the means of 4 x 4 tiles of pictures (N, C, *size)."""

    def __init__(self, n: int, channels: int = 3, seed: int = 0, size: tuple[int, int] = (SIZE, SIZE)) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(n, channels * 16, generator=generator))
        self.bias = nn.Parameter(torch.zeros(n))
        self.size = size
        self.tile = [size[0] // 4, size[1] // 4]

    def outputs(self, x: Tensor) -> Tensor:
        return F.linear(F.avg_pool2d(x, self.tile).flatten(1), self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)


def balanced(network: Linear, pixels: Tensor) -> Linear:
    """Every output of the pictures (N, C, 32, 32) then has the median 0 and the standard deviation 2."""
    with torch.no_grad():
        found = network(pixels)
        network.weight *= (2 / found.std(0))[:, None]
        network.bias -= network(pixels).median(0).values
    return network.eval()


def nearest_of(centres: Tensor, sharpness: float = 20.0) -> Linear:
    """Logits (N, n) that name the nearest of n centres (n, C * 16) of tile means."""
    network = Linear(len(centres), centres.shape[1] // 16)
    with torch.no_grad():
        network.weight.copy_(2 * sharpness * centres)
        network.bias.copy_(-sharpness * centres.square().sum(1))
    return network.eval()


def export(
    network: nn.Module, path: Path, channels: int = 3, batch: bool = True, size: tuple[int, int] = (SIZE, SIZE)
) -> Path:
    """A .pt2 for any number of pictures, or for two."""
    shapes = ({0: torch.export.Dim("batch", min=1, max=1024)},) if batch else None
    program = torch.export.export(network, (torch.zeros(2, channels, *size),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def script(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(path)
    return path


def onnx(
    network: Linear, path: Path, batch: int | str = "n", layout: str = "nchw", dtype: str = "FLOAT", more: bool = False
) -> Path:
    """The same network, written with the onnx package alone.

    batch: a number, or a name for any. dtype: of its input; UINT8 is divided by 255. more: a first output of its tiles.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = (parameter.detach().numpy() for parameter in (network.weight, network.bias))
    channels = weight.shape[1] // 16
    unit = np.array(1 / 255 if dtype == "UINT8" else 1, np.float32)
    order = [0, 3, 1, 2] if layout == "nhwc" else [0, 1, 2, 3]
    sides = [*network.size, channels] if layout == "nhwc" else [channels, *network.size]
    tiles = [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, [batch, channels, 4, 4])]
    nodes = [
        helper.make_node("Cast", ["given"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "unit"], ["numbers"]),
        helper.make_node("Transpose", ["numbers"], ["pixels"], perm=order),
        helper.make_node("AveragePool", ["pixels"], ["tiles"], kernel_shape=network.tile, strides=network.tile),
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("given", getattr(TensorProto, dtype), [batch, *sides])],
        [*(tiles if more else []), helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(weight)])],
        [numpy_helper.from_array(array, name) for array, name in ((weight, "weight"), (bias, "bias"), (unit, "unit"))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def transformers() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


VISION: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "image_size": SIZE, "patch_size": 8,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 24,
}  # fmt: skip
PROCESSOR: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True, "size": {"shortest_edge": 36}, "resample": 3, "do_center_crop": True,
    "crop_size": {"height": SIZE, "width": SIZE}, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28],
}  # fmt: skip


def vit(folder: Path, names: list[str], **settings: Any) -> Path:
    """An image classifier with random weights."""
    library = transformers()
    torch.manual_seed(1)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    model = library.ViTForImageClassification(library.ViTConfig(**VISION, **labels, **settings))
    with torch.no_grad():
        model.classifier.weight *= 50  # so that pictures differ
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def clip(folder: Path) -> Path:
    """CLIP with random weights, and a tokenizer of letters."""
    library = transformers()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    start, end = len(words) - 2, len(words) - 1
    tokenizer = library.CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    tokenizer.save_pretrained(folder)
    text = TEXT | {"vocab_size": len(words), "bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    torch.manual_seed(2)
    model = library.CLIPModel(library.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def siglip(folder: Path) -> Path:
    """SigLIP with random weights, and a tokenizer of a few words' pieces."""
    import io

    import sentencepiece

    library = transformers()
    folder.mkdir(parents=True, exist_ok=True)
    pieces = io.BytesIO()
    text = ["a photo of a person with glasses", "no bangs and a smile", "the quick brown fox jumps over the lazy dog"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text * 20), model_writer=pieces, vocab_size=36, unk_id=2, eos_id=1, bos_id=-1, pad_id=0,
        pad_piece="<pad>", minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(pieces.getvalue())
    library.SiglipTokenizer(str(folder / "spiece.model")).save_pretrained(folder)
    torch.manual_seed(3)
    config = library.SiglipConfig(text_config=TEXT | {"vocab_size": 100}, vision_config=VISION)
    model = library.SiglipModel(config)
    model.logit_scale.data.fill_(4.7)
    model.save_pretrained(folder)
    size = {"size": {"height": SIZE, "width": SIZE}, "do_center_crop": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | size))
    return folder
