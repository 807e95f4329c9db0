"""Other people's checkpoints, damaged, incomplete or of another kind: one line each, naming what is wrong."""

from pathlib import Path

import pytest
import torch
from test_families import BIGGAN, DATA, WITH_W, WITHOUT_W, saved

from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.generators.formats import genforce, tensorflow
from gmmedit.networks.pickle_values import Refused
from gmmedit.networks.unpickling import read_pickle


@pytest.mark.parametrize("name", [*WITH_W, *WITHOUT_W, BIGGAN])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, name):
    whole = (DATA / name).read_bytes()
    path = tmp_path / name
    for share in (0.02, 0.5, 0.98):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError) as error:
            load(str(path))
        assert name in error.value.message and "\n" not in error.value.message


TENSORS = [
    ("sefa_stylegan_32.pth", "synthesis.layer3.style.weight"),
    ("ig_stylegan_32_fused_old.pth", "mapping.dense0.linear.weight"),
    ("sefa_stylegan2_32.pth", "synthesis.layer3.noise_strength"),
    ("rosi_a_32.pt", "convs.3.conv.modulation.bias"),
    ("ig_pggan_32.pth", "output2.conv.weight"),
    (BIGGAN, "generator.layers.2.conv_1.weight_u"),
]


def weights_in(content: dict) -> dict:
    return content.get("g_ema", content.get("generator_smooth", content))


@pytest.fixture(params=TENSORS, ids=lambda pair: pair[0])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict, dict, str]:
    """A place for a file, its content, the weights in it and the name of one."""
    name, tensor = request.param
    if name == BIGGAN:
        (tmp_path / "config.json").write_bytes((DATA / "biggan_deep_64.config.json").read_bytes())
    content = torch.load(DATA / name)
    return tmp_path / name, content, weights_in(content), tensor


def test_a_missing_tensor_is_named(damaged):
    path, content, weights, tensor = damaged
    del weights[tensor]
    with pytest.raises(InputError) as error:
        load(str(saved(path, content)))
    ours = genforce.rename_tensor(tensor)
    assert path.name in error.value.message and (tensor in error.value.message or ours in error.value.message)


def test_a_relative_with_further_tensors_is_refused(damaged):
    path, content, weights, tensor = damaged
    if path.name == BIGGAN:
        pytest.skip("its own loader ignores further tensors")
    weights[f"{tensor}.more"] = torch.zeros(2)
    with pytest.raises(InputError, match=r"has a tensor .*\.more, which no"):
        load(str(saved(path, content)))


def test_a_foreign_shape_is_refused(damaged):
    path, content, weights, tensor = damaged
    weights[tensor] = torch.zeros(7, 1, 1, 1, 3)
    with pytest.raises(InputError) as error:
        load(str(saved(path, content)))
    assert path.name in error.value.message and "\n" not in error.value.message


def test_other_content_is_refused(tmp_path):
    with pytest.raises(InputError, match="config.json"):
        load(str(saved(tmp_path / "pytorch_model.bin", torch.load(DATA / BIGGAN))))
    fading = torch.load(DATA / "ig_pggan_32.pth") | {"lod": torch.tensor(0.5)}
    with pytest.raises(InputError, match="lod 0.5"):
        load(str(saved(tmp_path / "fading.pth", fading)))
    (tmp_path / "config.json").write_text('{"layers": "none"}')
    with pytest.raises(InputError, match="pytorch_model.bin"):
        load(str(tmp_path / "pytorch_model.bin"))
    labelled = torch.load(DATA / "sefa_stylegan2_32.pth")
    labelled["generator_smooth"]["mapping.label_weight"] = torch.zeros(3, 48)
    with pytest.raises(InputError, match="conditional"):
        load(str(saved(tmp_path / "labelled.pth", labelled)))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"version": 3}, "version 3"),
        ({"static_kwargs": {"nonlinearity": "relu"}}, "leaky ReLU"),
        ({"static_kwargs": {"normalize_latents": False}}, "does not normalise"),
        ({"variables": []}, "no tensor dlatent_avg"),
    ],
)
def test_other_networks_of_tensorflow_are_refused(state, reason):
    path = DATA / "sg2_l_tf4_16.pkl"
    content = read_pickle(path)
    content[2].state |= state
    with pytest.raises(Refused, match=reason):
        tensorflow.read_generator(path, content)


def test_further_variables_of_tensorflow_are_refused():
    path = DATA / "sg2_l_tf4_16.pkl"
    content = read_pickle(path)
    content[2].state["components"]["synthesis"].state["variables"].append(("8x8/Conv1/weight_sn", 0.0))
    with pytest.raises(Refused, match="a tensor synthesis/8x8/Conv1/weight_sn, which no StyleGAN2 has"):
        tensorflow.read_generator(path, content)


def test_conditional_networks_of_stylegan2s_first_code_are_refused():
    path = DATA / "sg2_l_tf4_16.pkl"
    content = read_pickle(path)
    content[2].state["components"]["mapping"].state["variables"].append(("LabelConcat/weight", 0.0))
    with pytest.raises(Refused, match="LabelConcat"):
        tensorflow.read_generator(path, content)
