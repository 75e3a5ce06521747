"""Property tests on a user's own networks: who takes part, what is left out aloud, what is refused."""

import json
import textwrap

import pytest
import torch

# Imported here once: pytester forgets what an inner run imports, and torch cannot be imported twice.
import netprops.data.cifar
import netprops.datafolders
import netprops.imported
import netprops.modeltables
import netprops.plugin.controller
import netprops.plugin.environment
import netprops.plugin.imports
import netprops.plugin.item
import netprops.plugin.selection
import netprops.plugin.terminal
import netprops.records
import netprops.report
import netprops.training.device
import netprops.zoo  # noqa: F401

MODELS = """
    import torch
    from torch import nn

    def net(width=8):
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

    def splits():
        x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
        return x, x[:, :3].argmax(1)

    def both():
        x, y = splits()
        return {"train": (x, y), "test": (x, y)}

    def elsewhere():
        x, y = splits()
        return x, y + 1
"""
SUITE = """
    import pytest
    from netprops import Measurement
    from netprops.errors import MissingDataError

    def wide(one):
        return Measurement.exact("width", one.width, n=1, n_of="network", how="counted")

    @pytest.mark.netprops(on="widest", families="clones")
    def test_width(subject, verdict):
        '''The layer is wide.'''
        verdict.expect(wide(subject), at_least=8, source="made up")

    @pytest.mark.netprops(on="widest", families=("clones",), uses="train")
    def test_training(subject, verdict):
        assert subject.features("train").shape == (60, subject.width)
        verdict.expect(wide(subject), at_least=1, source="made up")

    @pytest.mark.netprops(on="family", families="clones")
    def test_widths(family, verdict):
        assert [one.width for one in family.subjects()] == [8, 16]
        verdict.expect(wide(family.widest()[0]), at_least=16, source="made up")

    @pytest.mark.netprops(on="family", families="clones", uses="seeds")
    def test_seeds(family, verdict):
        pass

    @pytest.mark.netprops(on="family", families="snapshots")
    def test_snapshots(family, verdict):
        pass

    @pytest.mark.netprops(on="family", families="clones", variant="nodecay")
    def test_decay(family, verdict):
        pass

    @pytest.mark.netprops(on="widest", families="underfit")
    def test_others(subject, verdict):
        pass
"""


@pytest.fixture
def place(pytester, monkeypatch):
    """A folder with a model file, two checkpoints, a suite and a cache of its own."""
    for name in ("NETPROPS_DATA", "NETPROPS_CACHE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    path = pytester.path
    (path / "models.py").write_text(textwrap.dedent(MODELS))
    (path / "suite").mkdir()
    (path / "suite" / "test_mine.py").write_text(textwrap.dedent(SUITE))
    (path / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib\nnetprops_cache = cache\nnetprops_device = cpu\n"
    )
    for width in (8, 16):
        torch.manual_seed(width)
        network = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 3))
        torch.save(network.state_dict(), path / f"w{width}.pt")
    return pytester


MODEL = ("--netprops-model", "models.py:net", "--netprops-data", "models.py:splits")


def run(place, *args):
    quick = ("-p", "no:hypothesispytest", "-p", "no:timeout", "-p", "no:xdist")
    return place.runpytest_inprocess(*quick, *args)


def record(place):
    return json.loads((place.path / "reports/latest/run.json").read_text())


def test_a_network_of_the_command_line(place):
    result = run(place, "suite", *MODEL, "--netprops-checkpoint", "w8.pt")
    result.assert_outcomes(passed=1, deselected=6)
    result.stdout.fnmatch_lines(
        [
            "netprops: left out, for the data have no training split: test_training",
            "netprops: left out, for no networks of several widths were given: test_widths, test_seeds",
            "netprops: left out, for no snapshots of a training were given: test_snapshots",
            "netprops: left out, for no network trained without decay or otherwise was given: test_decay",
            "netprops: left out, for they are about other networks: test_others",
            "netprops: scale mini, device cpu, property tests: 1; networks: 1 of your own",
            "netprops: net-w8: accuracy * on 60 test samples, 8 features into '2', 3 outputs*",
            "suite/test_mine.py .*",
            "net-w8 *accuracy on the given test data *measured*",
            "net-w8 *width *8 *PASS*",
        ]
    )
    found = record(place)
    (subject,), (test,) = found["subjects"], found["tests"]
    assert subject["origin"]["how"] == "imported"
    assert test["subjects"] == ["net-w8"]
    assert test["reproduce"] == (
        'pytest suite/test_mine.py -k "test_width[net-w8]" --netprops-model models.py:net '
        "--netprops-checkpoint w8.pt --netprops-data models.py:splits"
    )


def test_each_of_several_checkpoints_with_a_training_split(place):
    (place.path / "w16.pt").rename(place.path / "z8.pt")
    torch.save({**torch.load(place.path / "w8.pt"), "2.bias": torch.ones(3)}, place.path / "z8.pt")
    args = ("--netprops-checkpoint", "[wz]8.pt", "--netprops-data", "models.py:both", "-v")
    result = run(place, "suite", *MODEL, *args)
    result.assert_outcomes(passed=4, deselected=6)
    result.stdout.fnmatch_lines(["*test_width[[]net-w8]*", "*test_training[[]net-z8]*"])


def table(place, text):
    (place.path / "netprops.toml").write_text(textwrap.dedent(text))


FAMILY = """
    [models.mine]
    build = "models.py:net"
    checkpoint = ["w8.pt", "w16.pt"]
    width = [8, 16]
    data = "models.py:both"
"""


def test_a_family_of_a_table(place):
    table(place, FAMILY)
    result = run(place, "suite", "--netprops-models", "mine")
    result.assert_outcomes(passed=5, deselected=5)
    result.stdout.fnmatch_lines(
        [
            "netprops: left out, for no second seed was given: test_seeds",
            "netprops: mine-w8: accuracy*",
            "netprops: mine-w16: accuracy*",
        ]
    )
    assert {test["id"].partition("[")[2] for test in record(place)["tests"]} == {
        "mine]",
        "mine-w8]",
        "mine-w16]",
    }


def test_data_of_the_command_line_beat_those_of_a_table(place):
    table(place, FAMILY)
    result = run(place, "suite", "--netprops-models", "mine", "--netprops-data", "models.py:splits")
    result.stdout.fnmatch_lines(["netprops: left out, for the data have no training split: test_training"])


def test_what_is_not_selected_is_not_loaded_and_not_mentioned(place):
    result = run(place, "suite", *MODEL, "--netprops-checkpoint", "w*.pt", "-k", "test_width and w8")
    result.assert_outcomes(passed=1, deselected=9)
    result.stdout.no_fnmatch_line("*left out*")
    result.stdout.no_fnmatch_line("*w16*")


def test_collecting_loads_nothing(place):
    (place.path / "w8.pt").write_text("no checkpoint")
    result = run(place, "suite", *MODEL, "--netprops-checkpoint", "w8.pt", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*test_width[[]net-w8]", "*test_training[[]net-w8]"])
    assert result.ret == 0


def test_a_part_of_the_samples(place):
    result = run(place, "suite", *MODEL, "--netprops-samples", "20")
    result.stdout.fnmatch_lines(["*accuracy * on 20 test samples*; a random 20 of the 60 test samples*"])
    assert "--netprops-samples 20" in record(place)["tests"][0]["reproduce"]


def test_narrow_networks_stand_side_by_side(place):
    (place.path / "suite" / "test_mine.py").write_text(
        "import pytest\nfrom netprops import Measurement\n"
        "@pytest.mark.netprops(on='family', families='features')\n"
        "def test_it(family, verdict):\n"
        "    (pair,) = family.concatenations(8, 'features')\n"
        "    assert pair.width == 16 and [one.seed for one in pair.members] == [0, 1]\n"
        "    found = Measurement.exact('x', 1, n=1, n_of='pair', how='counted')\n"
        "    verdict.expect(found, at_least=0, source='made up')\n"
    )
    table(
        place,
        FAMILY.replace("[8, 16]", "[8, 8, 16]\nseed = [0, 1, 0]").replace('"w8.pt",', '"w8.pt", "v8.pt",'),
    )
    torch.save(torch.load(place.path / "w8.pt"), place.path / "v8.pt")
    run(place, "suite", "--netprops-models", "mine").assert_outcomes(passed=1)


def test_what_turns_out_to_be_missing_skips_its_test(place):
    (place.path / "suite" / "test_mine.py").write_text(
        "import pytest\n@pytest.mark.netprops(on='widest')\n"
        "def test_it(subject, verdict):\n    subject.features('train')\n"
    )
    result = run(place, "suite", *MODEL, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *models.py:splits has no training split*"])


def test_expected_failures_of_other_networks_say_nothing_of_these(place):
    (place.path / "suite" / "xfails.toml").write_text(
        '[[xfail]]\ntest = "test_mine.py::test_width"\nsubject = "fc5-*"\nscale = "mini"\n'
        'measured = "1"\nreason = "narrow"\n'
    )
    run(place, "suite", *MODEL).assert_outcomes(passed=1, deselected=6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("--netprops-data", "digits"),
            "--netprops-data is about a network of --netprops-model or --netprops-models*",
        ),
        (
            ("--netprops-checkpoint", "w8.pt"),
            "--netprops-checkpoint is about the network of --netprops-model*",
        ),
        (("--netprops-models", "mine", "--netprops-layer", "2"), "*; a table says that itself"),
        (
            (*MODEL, "--netprops-models", "mine"),
            "*names one network and --netprops-models a table: give one*",
        ),
        (
            ("--netprops-models", "mien"),
            "no table [[]tool.netprops.models.mien] was found in *'mine'? known: mine",
        ),
        (("--netprops-modle", "a:b"), "unknown option --netprops-modle; did you mean '--netprops-model'?*"),
        (("--netprops-model", "models.py:net"), "net-as-built: no data were named; give --netprops-data*"),
        ((*MODEL, "--netprops-checkpoint", "v8.pt"), "no checkpoint matches *v8.pt; did you mean 'w8.pt'?"),
        ((*MODEL, "--netprops-model-kwargs", "width=8"), "--netprops-model-kwargs is no JSON*"),
        (
            (*MODEL, "--netprops-model-kwargs", '{"widht": 8}'),
            "*unexpected keyword argument 'widht'; did you*",
        ),
        ((*MODEL, "--netprops-checkpoint", "w16.pt"), "net-w16: *in the file and (8, 4) in the network*"),
        (
            ("--netprops-model", "models.py:nte", *MODEL[2:]),
            "*the model 'models.py:nte': models.py has no 'nte'*",
        ),
        ((*MODEL[:2], "--netprops-data", "cifar10"), "net-as-built: cifar10*"),
        ((*MODEL[:2], "--netprops-data", "models.py:elsewhere"), "*the test labels range from 1 to 3*"),
        (
            (*MODEL, "-k", "training or seeds"),
            "no test is left: left out, for the data have no training split: test_training; left out, for *",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_runs(place, args, message):
    table(place, FAMILY)
    result = run(place, "suite", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert not (place.path / "reports").exists()


def test_a_marker_that_uses_what_there_is_not(place):
    (place.path / "suite" / "test_mine.py").write_text(
        "import pytest\n@pytest.mark.netprops(on='widest', uses='trian')\ndef test_it(subject):\n    pass\n"
    )
    result = run(place, "suite", *MODEL)
    result.stdout.fnmatch_lines(["*uses='trian' is unknown; did you mean 'train'?*"])


def test_workers_agree_and_lines_are_said_once(place):
    args = (
        "-n",
        "2",
        "-p",
        "no:timeout",
        "--netprops-checkpoint",
        "w8.pt",
        "--netprops-data",
        "models.py:both",
    )
    result = place.runpytest_subprocess("suite", *MODEL, *args)
    result.assert_outcomes(passed=2)
    lines = result.outlines
    assert sum("netprops: net-w8: accuracy" in line for line in lines) == 1
    assert sum("test_snapshots" in line for line in lines) == 1
    assert len(record(place)["subjects"]) == 1
