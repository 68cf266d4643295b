from __future__ import annotations

import pytest

from nbcluster.config import load_settings
from nbcluster.errors import ConfigError, InputError
from nbcluster.labels import fits, label_for, labels_of, missing, parse_labels, parse_requirements


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ("gpu", ("gpu",)),
        ("gpu, mem=64", ("gpu", "mem=64")),
        (["gpu", "mem=64", "gpu"], ("gpu", "mem=64")),
        ("", ()),
        ("disk=/scratch/big", ("disk=/scratch/big",)),
    ],
)
def test_labels_are_words_with_or_without_a_value(given: object, labels: tuple[str, ...]) -> None:
    assert parse_labels(given) == labels


@pytest.mark.parametrize("wrong", ["64", "mem>=3", "a b", "=3", "mem=", "x" * 51, "mem=1=2", "gpu;"])
def test_what_is_no_label_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(ConfigError, match="write for example gpu or mem=64"):
        parse_labels(wrong)


@pytest.mark.parametrize("word", ["node=alpha", "host=here"])
def test_what_every_node_has_by_itself_cannot_be_given(word: str) -> None:
    with pytest.raises(ConfigError, match="by itself"):
        parse_labels(word)


def test_requirements_are_one_text_or_several_and_a_pin_is_one_of_them() -> None:
    assert parse_requirements("gpu") == ("gpu",)
    assert parse_requirements("gpu,mem>=32") == ("gpu", "mem>=32")
    assert parse_requirements(["gpu", "mem=64"], pin="alpha") == ("gpu", "mem=64", "node=alpha")
    assert parse_requirements() == ()


@pytest.mark.parametrize("wrong", ["mem>32", ">=3", "mem>=", "a b", "mem=>3"])
def test_what_is_no_requirement_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(InputError, match="mem>=32"):
        parse_requirements(wrong)


def test_a_bound_must_be_a_number() -> None:
    with pytest.raises(InputError, match="no number"):
        parse_requirements("mem>=lots")


@pytest.mark.parametrize("pin", ["", "two words", 7])
def test_a_pin_must_name_a_node(pin: object) -> None:
    with pytest.raises(InputError, match=r"as nodes\(\) shows them"):
        parse_requirements(pin=pin)


@pytest.mark.parametrize(
    ("require", "labels", "fit"),
    [
        ("gpu", ["gpu"], True),
        ("gpu", ["gpu=a100"], True),
        ("gpu=a100", ["gpu=a100"], True),
        ("gpu=a100", ["gpu=v100"], False),
        ("gpu", [], False),
        ("mem>=32", ["mem=64"], True),
        ("mem>=32", ["mem=32"], True),
        ("mem>=32", ["mem=16"], False),
        ("mem>=9", ["mem=16"], True),  # as text "16" would come before "9"
        ("mem=64", ["mem=64.0"], True),
        ("mem<=8", ["mem=7.5"], True),
        ("mem>=32", ["mem=plenty"], False),
        ("mem>=32", ["mem"], False),
        ("mem>=32", ["memory=64"], False),
        ("mem=64", ["mem=16", "mem=64"], True),
    ],
)
def test_a_node_fits_when_it_has_what_is_required(require: str, labels: list[str], fit: bool) -> None:
    assert fits([require], labels) is fit


def test_every_requirement_must_be_met_and_those_that_are_not_are_told() -> None:
    require = ("gpu", "mem>=32")
    assert missing(require, ["mem=64"]) == ("gpu",)
    assert missing(require, []) == require
    assert fits(require, ["gpu", "mem=64"])
    assert fits((), [])


@pytest.mark.parametrize("pin", ["gpu-box", "gpu-box-0123456789ab"])
def test_a_node_can_be_named_by_its_prefix_or_its_id(pin: str) -> None:
    labels = labels_of("gpu-box-0123456789ab", "lab7", ["gpu"])
    assert fits(parse_requirements("host=lab7,gpu", pin=pin), labels)
    assert not fits(parse_requirements(pin="gpu"), labels)


def test_a_label_for_a_requirement_meets_it() -> None:
    assert [label_for(one) for one in ("gpu", "mem>=32", "mem=64")] == ["gpu", "mem=32", "mem=64"]


def test_the_environment_and_options_name_labels() -> None:
    assert load_settings({}, {"NBCLUSTER_LABELS": "gpu,mem=64"}).labels == ("gpu", "mem=64")
    assert load_settings({"labels": ["gpu", "mem=64"]}, {}).labels == ("gpu", "mem=64")
    assert load_settings({}, {}).labels == ()
