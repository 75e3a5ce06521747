import subprocess
import sys

import pytest

from netprops import data
from netprops.errors import MissingDataError, UsageError


def test_names_are_sorted():
    assert data.names() == (
        "cifar10",
        "cifar100",
        "cifar10jpeg",
        "cifar200k",
        "cifar50k",
        "cifar50k-noisy",
        "cifar5m",
        "digit-stream",
        "digits",
        "entailment",
        "gaussian",
        "gegenbauer",
        "imagefolder",
        "imagefolder256",
        "imagenet",
        "mnist",
        "mnli",
        "noisy-labels",
        "pdigits",
        "pmnist",
        "random-labels",
        "sick",
        "signals",
        "source-bytes",
        "teacher",
        "wikitext103",
        "wikitext2",
    )


def test_looking_for_data_imports_no_torch():
    arguments = {
        "gaussian": ":10",
        "gegenbauer": ":2:10",
        "noisy-labels": ":0.5:mnist",
        "random-labels": ":mnist",
        **dict.fromkeys(("imagefolder", "imagefolder256", "mnli", "sick"), ":x"),
    }
    code = (
        "import sys; from pathlib import Path; from netprops import data\n"
        "for name in data.names():\n"
        f"    data.check(name + {arguments}.get(name, ''), Path('/nowhere'))\n"
        "print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"


@pytest.mark.parametrize(
    "name",
    [
        "cifar10",
        "cifar100",
        "cifar10jpeg",
        "cifar200k",
        "cifar5m",
        "imagefolder:birds",
        "mnist",
        "mnli:hashed",
        "pmnist",
        "sick:bert",
        "wikitext103",
        "wikitext2:masked",
    ],
)
def test_missing_data_is_one_sentence_and_the_error_has_it(name, tmp_path):
    sentence = data.check(name, tmp_path)
    assert sentence is not None
    assert "\n" not in sentence
    for part in (name, "was not found", str(tmp_path), "NETPROPS_DATA", "--netprops-data-root"):
        assert part in sentence
    with pytest.raises(MissingDataError) as caught:
        data.load(name, tmp_path)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "name",
    [
        "cifar10",
        "cifar100",
        "cifar10jpeg",
        "cifar5m",
        "mnist",
        "mnli:bert",
        "pmnist",
        "sick:hashed",
        "wikitext2",
    ],
)
def test_without_a_root_that_is_what_is_said(name):
    sentence = data.check(name, None)
    assert sentence is not None
    assert "no data root is set" in sentence
    with pytest.raises(MissingDataError, match="no data root is set"):
        data.load(name, None, download=True)


@pytest.mark.parametrize(
    "name", ["digit-stream", "digits", "entailment", "pdigits", "source-bytes", "source-bytes:32"]
)
def test_what_the_dependencies_ship_is_always_there(name, tmp_path):
    assert data.check(name, None) is None
    assert data.check(name, tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnits", "data set 'mnits' is not known; did you mean 'mnist'"),
        ("?", "data set '\\?' is not known; it is one of cifar10, "),
        ("imagefolder", "data set 'imagefolder' needs an argument after a colon: imagefolder:ARGUMENT"),
        ("source-bytes:", "data set 'source-bytes:' needs an argument after a colon: source-bytes:ARGUMENT"),
        ("digits:8", "data set 'digits' takes nothing after a colon, but 'digits:8'"),
    ],
)
def test_names_that_are_not_known_are_refused(name, words):
    with pytest.raises(UsageError, match=words):
        data.check(name, None)
    with pytest.raises(UsageError, match=words):
        data.load(name, None)


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(data, "_REGISTRY", dict(data._REGISTRY))
    there = []
    digits = data.load("digits", None)

    @data.register(
        "own",
        missing=lambda request: None if there else "own is not there",
        download=lambda request: there.append(1),
    )
    def load_own(request):
        return digits

    return load_own, there


def test_nothing_is_downloaded_unasked(own, tmp_path):
    _, there = own
    with pytest.raises(MissingDataError, match="own is not there"):
        data.load("own", tmp_path)
    assert not there
    data.load("own", tmp_path, download=True)
    data.load("own", tmp_path, download=True)
    assert there == [1]


@pytest.mark.parametrize("name", ["own", "mnist"])
def test_a_name_is_given_once(own, name):
    with pytest.raises(UsageError, match=f"data set '{name}' is registered already"):
        data.register(name)(own[0])
