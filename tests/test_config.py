"""Settings: defaults < YAML < flags, and what is refused, with the key and the nearest name."""

from pathlib import Path

import pytest
import yaml

from gmmedit.config import Config, load
from gmmedit.errors import InputError

SHIPPED = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return path


def test_nothing_given_means_the_defaults() -> None:
    assert load() == Config() == load(None, sample={"n": None}, edit={})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_settings_load(path: Path) -> None:
    load(path)


def test_default_yaml_lists_every_setting_with_its_default() -> None:
    path = next(path for path in SHIPPED if path.stem == "default")
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == Config().model_dump()


def test_patent_yaml_is_the_literal_reading() -> None:
    config = load(next(path for path in SHIPPED if path.stem == "patent"))
    single, mixture = config.fit_single, config.fit_mixture
    assert (single.scope, single.likelihood, config.edit.draw) == ("full", "peak", "sample")
    assert single.covariance == "free" and mixture.decoupling == 0


def test_flags_win_over_yaml_and_yaml_over_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "sample: {n: 50, psi: 0.5}\nlabel:\nedit: {draw: mean}\n")
    config = load(path, sample={"n": 70, "seed": None}, fit_single={"steps": 3})
    assert (config.sample.n, config.sample.psi, config.sample.seed) == (70, 0.5, 0)
    assert config.edit.draw == "mean" and config.fit_single.steps == 3
    assert config.label == Config().label
    assert load(path, edit={"draw": "sample"}).edit.draw == "sample"
    assert load(written(tmp_path, "")) == Config()


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("sampel: {n: 5}", "unknown setting sampel; did you mean 'sample'? there are: sample, label"),
        ("sample: {nn: 5}", "unknown setting sample.nn; did you mean 'n'? there are: gan, n, seed"),
        ("fit_single: {stesp: 5}", "unknown setting fit_single.stesp; did you mean 'steps'?"),
        ("sample: {n: many}", "sample.n: "),
        ("sample: {n: 0}", "(got 0)"),
        ("sample: {n: 2.5}", "(got 2.5)"),
        ("sample: {n: 100000000000000000000}", "sample.n: "),
        ("sample: {psi: .nan}", "sample.psi: "),
        ("sample: {psi: 3}", "sample.psi: "),
        ("sample: {seed: -1}", "sample.seed: "),
        ("sample: {images: perhaps}", "sample.images: "),
        ("sample: {n: true}", "sample.n: "),
        ("sample: {psi: false}", "sample.psi: "),
        ("sample: {n: 5}\nlabel: {}\nsample: {n: 6}", "is not valid YAML: 'sample' is given twice"),
        ("sample: {n: 5, n: 5}", "is not valid YAML: 'n' is given twice"),
        ("sample: {gan: [a, b]}", "sample.gan: "),
        ("fit_single: {held_out: 1.0}", "fit_single.held_out: "),
        ("fit_single: {lr: 0}", "fit_single.lr: "),
        ("fit_single: {lr: .inf}", "fit_single.lr: "),
        ("fit_single: {read: quadratic}", "'linear'"),
        ("fit_single: {batch: 1}", "fit_single.batch: Input should be greater than or equal to 2"),
        ("fit_mixture: {batch: 1}", "fit_mixture.batch: Input should be greater than or equal to 2"),
        ("fit_mixture: {sampling: 1.0e+38}", "fit_mixture.sampling: Input should be less than or equal to 1000000000"),
        ("evaluate: {editors: mixture}", "evaluate.editors: "),
        ("evaluate: {editors: [1]}", "evaluate.editors.0: "),
        ("1: {n: 5}", "1"),
        ("sample: 5", "must hold sections with keys"),
        ("just a sentence", "must hold sections with keys"),
        ("- sample", "must hold sections with keys"),
        ("sample: {n: 5", "is not valid YAML"),
        ("sample:\n\tn: 5", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [true]", "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_yaml_file_is_named(tmp_path: Path, text: str, phrase: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(path)
    line = f"{caught.value.message}; {caught.value.hint}"
    assert phrase in line and str(path) in line and "\n" not in line


def test_files_are_found_relative_to_the_yaml_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    for name in ("mine.yaml", "my.py", "avatars"):
        (tmp_path / "nets" / name).touch()
    for name, there in (
        ("nets/mine.yaml", f"{tmp_path}/nets/mine.yaml"),
        ("nets/my.py:load", f"{tmp_path}/nets/my.py:load"),
        (f"{tmp_path}/nets/my.py:load", f"{tmp_path}/nets/my.py:load"),
        ("nets/gone.pt2", "nets/gone.pt2"),  # relative to where the command runs, or nowhere
        ("someone/model", "someone/model"),
        ("avatars", "avatars"),
    ):
        config = load(written(tmp_path, f"label: {{classifier: '{name}'}}\nsample: {{gan: '{name}'}}"))
        assert config.label.classifier == config.sample.gan == there
        assert config.evaluate.classifier == "auto"
    path = written(tmp_path / "nets", "label: {classifier: mine.yaml}")
    assert load(path).label.classifier == str(tmp_path / "nets" / "mine.yaml")
    assert load(path, label={"classifier": "mine.yaml"}).label.classifier == "mine.yaml", "a flag's is not"


def test_yes_no_and_off_mean_what_the_setting_makes_of_them(tmp_path: Path) -> None:
    for word in ("true", "True", "yes", "on"):
        assert load(written(tmp_path, f"sample: {{images: {word}}}")).sample.images is True
    config = load(written(tmp_path, "sample: {images: no}\nfit_mixture: {consistency: off}"))
    assert config.sample.images is False and config.fit_mixture.consistency == "off"


def test_stylegan2_ffhq_is_paired_with_prompts() -> None:
    config = load(next(path for path in SHIPPED if path.stem == "stylegan2-ffhq"))
    assert config.sample.gan == "stylegan2-ffhq" and Path(config.label.classifier).is_file()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff\xfe")
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "picture.yaml"):
        with pytest.raises(InputError, match="cannot read") as caught:
            load(path)
        assert str(path) in caught.value.message


def test_a_bad_flag_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "sample: {n: 50}")
    with pytest.raises(InputError) as caught:
        load(path, sample={"n": 0})
    assert "sample.n" in caught.value.message and str(path) not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "sample: {n: 2020-13-45}",
        "sample: {images: !!bool z}",
        "sample: {n: !!timestamp z}",
        "[" * 5000,
        "a: !!map [b]",
        "? [a]: 1",
    ],
)
def test_what_yaml_cannot_build_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(InputError, match="is not valid YAML"):
        load(tmp_path / "odd.yaml")
