"""Image classifiers, CLIP and SigLIP of the transformers library, from local folders and the local hub cache."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks as small
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from test_classifier_files import Touch, described, refused
from torch import Tensor

from gmmedit import classifiers
from gmmedit.classifiers import Attribute
from gmmedit.classifiers.huggingface import make_unique, read_preprocessing
from gmmedit.classifiers.preprocessing import Preprocessing
from gmmedit.errors import InputError

NAMES = ["cat", "dog", "cow"]
PROMPTS = """
prompts:
  smile: {yes: [a smiling face, a big smile], no: a face}
  hair: {black: black hair, red: [red hair], grey: grey hair}
templates: ["a photo of {}", "{}, close up"]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    small.vit(folder / "vit", NAMES)
    small.clip(folder / "clip")
    small.siglip(folder / "siglip")
    return folder


@pytest.fixture
def own(models: Path, tmp_path: Path) -> Path:
    """A copy of the models for one test to change."""
    return shutil.copytree(models, tmp_path / "models")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Pictures as bytes (6, 48, 64, 3), smooth as pictures are."""
    noise = torch.rand(6, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(noise, (48, 64), mode="bicubic").clamp(0, 1)
    return (smooth * 255).byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def images(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def processed(folder: Path, kind: str, pixels: np.ndarray) -> Tensor:
    """What the library's own processor makes of the pictures."""
    processor = getattr(small.transformers(), kind).from_pretrained(folder)
    return processor([Image.fromarray(it) for it in pixels], return_tensors="pt")["pixel_values"]


# Image classifiers


def test_an_image_classifier_needs_no_description(models: Path, pixels: np.ndarray, images: Tensor) -> None:
    classifier = classifiers.load(str(models / "vit"))
    assert classifier.attributes == [Attribute("class", tuple(NAMES))] and classifier.input_size == (32, 32)
    assert classifier.differentiable and classifier.calibration is None
    model = small.transformers().ViTForImageClassification.from_pretrained(models / "vit").eval()
    with torch.no_grad():
        wanted = model(processed(models / "vit", "CLIPImageProcessorPil", pixels)).logits.softmax(1)
    labels = classifier.probabilities(images)
    assert wanted.std(0).min() > 0.03, "the pictures must differ for this to say anything"
    torch.testing.assert_close(labels, wanted, atol=2e-2, rtol=0)  # Pillow rounds to bytes between its steps
    gradient = torch.autograd.grad(classifier.logits(images.requires_grad_(True))[2, 0], images)[0]
    assert gradient[2].abs().max() > 0 and not gradient[:2].any()


def test_several_labels_may_hold_at_once(tmp_path: Path, images: Tensor) -> None:
    small.vit(tmp_path / "faces", ["Smiling", "Male"], problem_type="multi_label_classification")
    plain = classifiers.load(str(tmp_path / "faces"))
    assert plain.attributes == [Attribute("Smiling", ("no", "yes")), Attribute("Male", ("no", "yes"))]
    body = "attributes: {gender: {outputs: Male, values: [female, male]}}"
    gender = classifiers.load(described(tmp_path, "faces", body))
    assert gender.attributes == [Attribute("gender", ("female", "male"))]
    assert torch.equal(gender.logits(images), plain.logits(images)[:, 2:])


def test_labels_chosen_and_named_anew(models: Path, images: Tensor) -> None:
    body = "attributes: {animal: {outputs: [dog, cat, cow], values: [wau, miau, muh]}}"
    renamed = classifiers.load(described(models, "vit", body))
    assert renamed.attributes[0].values == ("wau", "miau", "muh")
    whole = classifiers.load(str(models / "vit")).probabilities(images)
    torch.testing.assert_close(renamed.probabilities(images), whole[:, [1, 0, 2]])
    refused(described(models, "vit", "attributes: {a: {outputs: [dog, horse]}}"), "a has no output 'horse'")
    larger = classifiers.load(described(models, "vit", "input: {size: 32, mean: [0.5], std: [0.5]}"))
    assert larger.input_size == (32, 32) and larger.attributes[0].name == "class"
    assert make_unique(["a", "b=c: d", "a"]) == ["a 0", "b c  d", "a 2"]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (
            {"feature_extractor_type": "ViTFeatureExtractor", "size": 192, "image_mean": [0.5] * 3,
             "image_std": [0.5] * 3, "resample": 2},
            Preprocessing((192, 192), mean=(0.5,) * 3, std=(0.5,) * 3),
        ),
        (  # CLIP of 2021
            {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "do_center_crop": True, "crop_size": 200,
             "resample": 3, "image_mean": 0.4, "image_std": 0.3},
            Preprocessing((200, 200), 224, "bicubic", mean=(0.4,), std=(0.3,)),
        ),
        (
            {"image_processor_type": "MobileViTImageProcessorFast",
             "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 200}, "do_rescale": False},
            Preprocessing((224, 200), 256, "bicubic", "bgr", (0, 255)),
        ),
        (  # only the model says what it is
            {"size": {"height": 40, "width": 30}, "do_normalize": False, "rescale_factor": 1 / 127.5},
            Preprocessing((40, 30), range=(0, 2)),
        ),
    ],
)  # fmt: skip
def test_processors_of_any_age(tmp_path: Path, settings: dict[str, Any], wanted: Preprocessing) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert read_preprocessing(tmp_path, small.transformers().ViTConfig()) == wanted
    (tmp_path / "preprocessor_config.json").write_text("{}")  # the library reads the other one first
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert read_preprocessing(tmp_path, small.transformers().ViTConfig()) == wanted


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2ImageProcessor is not supported"),
        ({"image_processor_type": 5}, "5 is not supported"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "do_resize is false"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": 1 << 40, "width": 8}}, "1 to 1024"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 8}}, "a size given by longest_edge"),
        ({"image_processor_type": "ViTImageProcessor", "size": "large"}, "unsupported settings of ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 1}, "unsupported setting"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5]}, "2 means"),
        ({"image_processor_type": "CLIPImageProcessor", "do_pad": True, "pad_size": 300}, "pad_size"),
        ([1], "is not an image processor"),
    ],
)
def test_processors_that_are_not_followed(own: Path, images: Tensor, settings: Any, says: str) -> None:
    (own / "vit" / "preprocessor_config.json").write_text(json.dumps(settings))
    refused(own / "vit", says, "describe it in YAML instead: input: {size: 224")
    followed = classifiers.load(described(own, "vit", "input: {size: 32, mean: [0.5], std: [0.5]}"))
    assert followed.probabilities(images).shape == (6, 3), "the hint works"


def test_what_is_seen_belongs_to_the_fingerprint(own: Path) -> None:
    """Other pixels are another classifier: labels of the one do not guide edits by the other."""
    before = classifiers.load(str(own / "vit")).fingerprint
    path = own / "vit" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resample": 2}))
    assert classifiers.load(str(own / "vit")).fingerprint != before


def test_one_output_is_no_choice(tmp_path: Path, images: Tensor) -> None:
    small.vit(tmp_path / "one", ["smile"])
    refused(tmp_path / "one", "one has a single output, 'smile'", "activation: sigmoid")
    body = "activation: sigmoid\nattributes: {smile: {outputs: smile}}"
    found = classifiers.load(described(tmp_path, "one", body))
    assert found.attributes == [Attribute("smile", ("no", "yes"))] and found.logits(images).shape == (6, 2)


# Zero-shot classifiers


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_scores_are_the_model_s_own(models: Path, images: Tensor, kind: str, tmp_path: Path) -> None:
    body = "templates: '{}'\nprompts: {smile: {no: a face, yes: a smile}, hair: {black: black hair, red: a, grey: b}}\n"
    classifier = classifiers.load(described(models, kind, body))
    assert [a.name for a in classifier.attributes] == ["smile", "hair"] and classifier.differentiable
    library = small.transformers()
    model = library.AutoModel.from_pretrained(models / kind).eval()
    tokenizer = library.AutoTokenizer.from_pretrained(models / kind)
    texts = ["a face", "a smile", "black hair", "a", "b"]
    padding = {"padding": "max_length", "max_length": 24} if kind == "siglip" else {"padding": True}
    given = tokenizer(texts, return_tensors="pt", **padding)
    if kind == "siglip":
        given.pop("attention_mask", None)
    prepared = read_preprocessing(models / kind)
    assert prepared is not None
    with torch.no_grad():
        scores = model(pixel_values=prepared(images), **given).logits_per_image
    found = classifier.probabilities(images)
    torch.testing.assert_close(found[:, :2], scores[:, :2].softmax(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[:, 2:], scores[:, 2:].softmax(1), atol=1e-4, rtol=0)


def test_texts_and_templates_are_averaged(models: Path, images: Tensor) -> None:
    def logits(smile: str, templates: str) -> Tensor:
        body = f"prompts: {{smile: {{no: a face, yes: {smile}}}}}\ntemplates: {templates}\n"
        return classifiers.load(described(models, "clip", body)).logits(images)

    several = logits("[a smile, teeth]", "['{}', 'photo of {}']")
    torch.testing.assert_close(several, logits("[teeth, a smile]", "['photo of {}', '{}']"), atol=1e-4, rtol=0)
    assert not torch.allclose(several, logits("a smile", "['{}', 'photo of {}']"), atol=1e-3)
    assert not torch.allclose(several, logits("[a smile, teeth]", "'{}'"), atol=1e-3)


def test_prompts_ask_to_be_calibrated(models: Path) -> None:
    images = torch.rand(300, 3, 8, 8, generator=torch.Generator().manual_seed(4)) * 2 - 1
    text = PROMPTS + "accuracy: {smile: 0.8}\nrates: {hair: {black: 0.5, red: 0.3, grey: 0.2}}\n"
    classifier = classifiers.load(described(models, "clip", text))
    assert classifier.calibration is not None
    before = classifier.logits(images)
    classifier.calibration.fit(before)
    labels = classifier.probabilities(images)
    assert float(labels[:, :2].amax(1).mean()) == pytest.approx(0.8, abs=0.01)
    assert float(labels[:, 2:].amax(1).mean()) == pytest.approx(0.9, abs=0.01)
    assert labels[:, 2:].mean(0).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


# Where folders are, and what is refused


def test_hub_names_are_looked_up_in_the_cache_only(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Tensor
) -> None:
    small.transformers()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    refused("someone/tiny-vit", "someone/tiny-vit is neither a local folder", "hf download someone/tiny-vit")
    repository = tmp_path / "models--someone--tiny-vit"
    shutil.copytree(models / "vit", repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    found = classifiers.load("someone/tiny-vit")
    assert torch.equal(found.logits(images), classifiers.load(str(models / "vit")).logits(images))
    refused(
        "clip-faces",
        "openai/clip-vit-base-patch32 is neither a local folder",
        "hf download openai/clip-vit-base-patch32",
    )


def test_a_local_folder_comes_before_the_hub(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models / "vit", tmp_path / "someone" / "mine")
    assert classifiers.load("someone/mine").attributes[0].name == "class"


OFFLINE = """
import socket
def refuse(*words, **more):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from gmmedit import classifiers
from gmmedit.errors import InputError
for name in sys.argv[1:]:
    try:
        print(len(classifiers.load(name).attributes))
    except InputError as error:
        print(error.message)
assert "torchvision" not in sys.modules
"""


def test_nothing_is_fetched(models: Path, tmp_path: Path) -> None:
    names = [models / "vit", described(models, "clip", PROMPTS), "nobody/no-such-model"]
    command = [sys.executable, "-W", "error", "-c", "import sys\n" + OFFLINE, *map(str, names)]
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    one, two, missing = told.stdout.splitlines()
    assert (one, two) == ("1", "2") and "nor a model in the Hugging Face cache" in missing
    assert told.stderr == ""


def test_weights_are_never_unpickled(own: Path) -> None:
    ran, folder = own / "ran", own / "vit"
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors | {"evil": Touch(ran)}, folder / "pytorch_model.bin")
    refused(folder, "cannot be loaded as AutoModelForImageClassification")
    assert not ran.exists()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert classifiers.load(str(folder)).attributes[0].values == tuple(NAMES), "plain tensors are fine"


def test_code_of_a_folder_never_runs(own: Path) -> None:
    ran = own / "ran"
    for folder, key in ((own / "vit", "AutoModelForImageClassification"), (own / "clip", "AutoTokenizer")):
        (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nclass Evil: pass\n")
        name = "config.json" if folder.name == "vit" else "tokenizer_config.json"
        config = json.loads((folder / name).read_text())
        value = ["evil.Evil", "evil.Evil"] if folder.name == "clip" else "evil.Evil"
        config["auto_map"] = {key: value, "AutoConfig": "evil.Evil"}
        (folder / name).write_text(json.dumps(config))
    classifiers.load(str(own / "vit"))  # a known architecture needs no foreign code
    try:
        classifiers.load(described(own, "clip", PROMPTS))
    except InputError as error:
        assert "tokenizer" in error.message
    config = json.loads((own / "vit" / "config.json").read_text())
    (own / "vit" / "config.json").write_text(json.dumps(config | {"model_type": "evil", "architectures": ["Evil"]}))
    refused(own / "vit", "cannot be loaded as AutoModelForImageClassification")
    assert not ran.exists()


def test_folders_that_hold_something_else(own: Path) -> None:
    refused(own / "clip", "clip has no weights for classifier.bias", "or add prompts for CLIP")
    refused(described(own, "vit", PROMPTS), "holds a vit model, prompts need CLIP or SigLIP")
    (own / "vit" / "preprocessor_config.json").unlink()
    refused(own / "vit", "does not tell the preprocessing of its images", "input: {size: 224")
    (own / "vit" / "preprocessor_config.json").write_text("[1]")
    refused(own / "vit", "preprocessor_config.json is not an image processor")
    (own / "clip" / "tokenizer.json").write_text("{}")
    refused(described(own, "clip", PROMPTS), "the tokenizer in", "cannot be loaded")
    (own / "clip" / "tokenizer.json").unlink()
    refused(described(own, "clip", PROMPTS), "clip has no tokenizer", "tokenizer.json")
    (own / "empty").mkdir()
    refused(own / "empty", "empty is not a transformers model: it has no config.json", "save_pretrained")
    for text, says in (("{}", "empty is not a transformers model: its config.json has no model_type"),
                       ("{", "config.json is not JSON")):  # fmt: skip
        (own / "empty" / "config.json").write_text(text)
        refused(own / "empty", says, "save_pretrained")


def test_weights_that_are_missing_or_damaged(own: Path) -> None:
    path = own / "vit" / "model.safetensors"
    tensors = load_file(path)
    headless = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")}
    save_file(headless, path, {"format": "pt"})
    refused(own / "vit", "has no weights for classifier.bias", "trained for classification")
    save_file(tensors | {"classifier.bias": torch.zeros(7)}, path, {"format": "pt"})
    refused(own / "vit", "cannot be loaded")
    path.write_bytes(path.read_bytes()[:1000])
    refused(own / "vit", "cannot be loaded")


def test_libraries_that_a_folder_needs(own: Path) -> None:
    config = {"model_type": "timm_wrapper", "architecture": "resnet18", "num_classes": 3}
    (own / "vit" / "config.json").write_text(json.dumps(config))
    refused(own / "vit", "cannot be loaded as AutoModelForImageClassification", "timm")


def test_half_precision_weights_are_computed_in_full(own: Path, images: Tensor) -> None:
    path = own / "vit" / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    config = json.loads((own / "vit" / "config.json").read_text())
    (own / "vit" / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    assert classifiers.load(str(own / "vit")).logits(images).dtype == torch.float32


def test_a_picture_file_is_no_model(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "png")
    (tmp_path / "cat.png").write_bytes(buffer.getvalue())
    refused(tmp_path / "cat.png", "is not a classifier:")
