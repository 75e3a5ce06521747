"""Which networks a marker means, what -k finds, and which failures are expected."""

import textwrap
from types import SimpleNamespace

import pytest

from netprops.content import families
from netprops.declaration import Family, Variant
from netprops.errors import MeasurementError, UsageError
from netprops.plugin.family_under_test import FamilyUnderTest
from netprops.plugin.selection import Wanted, expected_failures
from netprops.training.recipe import Recipe

RECIPE = Recipe(epochs=1, batch=1, optimizer="sgd", lr=1)
TOY = Family(
    name="toy",
    architecture="toy",
    data="here",
    scale="mini",
    widths=(2, 4, 8),
    seeds=2,
    widest_seeds=3,
    recipe=RECIPE,
    source="made up",
    variants={"nodecay": Variant(changes={}, widths=(4, 8), seeds=1, why="a control")},
)
PLAIN = TOY.model_copy(update={"name": "plain", "variants": {}})


def ids(things):
    return [one.id for one in things]


@pytest.mark.parametrize(
    ("wanted", "targets"),
    [
        (Wanted("widest", ("toy",)), ["toy-here-w8-s0", "toy-here-w8-s1", "toy-here-w8-s2"]),
        (Wanted("widest", variant="nodecay"), ["toy-here-nodecay-w8-s0"]),
        (Wanted("family"), ["toy-here", "plain-here"]),
        (Wanted("family", variant="nodecay"), ["toy-here"]),
        (Wanted("family", ("plain",), "nodecay"), []),
    ],
)
def test_targets(wanted, targets):
    assert ids(wanted.targets([TOY, PLAIN])) == targets


def test_the_networks_that_a_test_trains():
    spec = TOY.spec(8, 1)
    assert Wanted("widest").specs(spec) == (spec,)
    assert Wanted("family").specs(TOY) == TOY.specs()
    assert ids(Wanted("family", needs="widest").specs(TOY)) == [f"toy-here-w8-s{seed}" for seed in range(3)]
    assert ids(Wanted("family", variant="nodecay").specs(TOY)) == [
        "toy-here-w4-s0",
        "toy-here-nodecay-w4-s0",
        "toy-here-w8-s0",
        "toy-here-nodecay-w8-s0",
    ]
    assert ids(Wanted("family", variant="nodecay", needs="widest").specs(TOY)) == [
        "toy-here-w8-s0",
        "toy-here-nodecay-w8-s0",
    ]


def test_a_marker_may_name_a_role_that_families_declare():
    other = TOY.model_copy(update={"name": "other", "roles": ("clones",)})
    wanted = Wanted("family", families=("clones",))
    assert wanted.targets([TOY, other]) == (other,)
    assert Wanted("family", families=("clones", "toy")).targets([TOY, other]) == (TOY, other)


@pytest.mark.parametrize(
    ("marker", "function", "message"),
    [
        ("on='widst'", "test_it(subject)", "*'widst' is unknown; did you mean 'widest'?*"),
        ("", "test_it(subject)", "*needs on='widest' or on='family'*"),
        ("'widest'", "test_it(subject)", "*takes named arguments only*"),
        ("on='widest', famlies='toy'", "test_it(subject)", "*argument 'famlies'; did you mean 'families'?*"),
        ("on='widest', families='toi'", "test_it(subject)", "*is called 'toi'; did you mean 'toy'?*"),
        ("on='family', needs='few'", "test_it(family)", "*needs='few' is unknown*"),
        ("on='family'", "test_it(subject)", "*must ask for the fixture 'family'*"),
    ],
)
def test_a_marker_that_makes_no_sense_is_a_collection_error(runs, marker, function, message):
    runs.suite(f"@pytest.mark.netprops({marker})\ndef {function}:\n    pass\n")
    result = runs.run("suites")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([message])
    assert not (runs.path / "reports").exists()


def test_markers_add_up_and_the_closest_wins(runs):
    runs.suite("""
        pytestmark = pytest.mark.netprops(on="widest", families="lost")
        @pytest.mark.netprops(families="toy")
        def test_it(subject):
            pass
    """)
    result = runs.run("suites", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*test_it[[]toy-here-w8-s0]", "3 tests collected*"])


def test_networks_on_parts_of_the_data_come_with_the_widest_plain_ones():
    parts = {"halves": Variant(widths=(1, 2), seeds=4, parts=2, why="test")}
    family = TOY.model_copy(update={"variants": parts})
    found = [spec.id for spec in Wanted("family", variant="halves").specs(family)]
    assert found[:8] == [f"toy-here-halves-w{width}-s{seed}" for width in (1, 2) for seed in range(4)]
    assert found[8:] == ["toy-here-w8-s0", "toy-here-w8-s1", "toy-here-w8-s2"]


def narrow_networks(specs):
    """Return what a concatenation asks of the networks of some specs."""
    data = SimpleNamespace(input_shape=(10,), outputs=1)
    return [
        SimpleNamespace(
            id=one.id, family=one.family.id, variant=None, factor=one.width, epoch=1, dataset=data, spec=one
        )
        for one in specs
    ]


def test_concatenations_are_disjoint_and_as_large_as_one_of_the_widest():
    family = TOY.model_copy(update={"architecture": "fc5", "copies": {2: 9}})
    found = FamilyUnderTest(family, narrow_networks).concatenations(2, "features")
    assert [one.id for one in found] == ["toy-here-w2-x4-s0", "toy-here-w2-x4-s4"]
    wide = FamilyUnderTest(family, narrow_networks).concatenations(8, "features")
    assert [one.id for one in wide] == ["toy-here-w8-x1-s0", "toy-here-w8-x1-s1", "toy-here-w8-x1-s2"]


def test_too_few_copies_for_a_concatenation_are_named():
    family = TOY.model_copy(update={"architecture": "fc5"})
    with pytest.raises(
        MeasurementError, match="4 networks of width 2 have as many features as one of 8, but"
    ):
        FamilyUnderTest(family, narrow_networks).concatenations(2, "features")


def test_one_width_or_one_network_is_refused_where_several_are_compared():
    alone = TOY.model_copy(update={"widths": (8,), "seeds": 1, "widest_seeds": None, "variants": {}})
    family = FamilyUnderTest(alone, list)
    with pytest.raises(UsageError, match=r"toy-here has widths \['8'\] only, and a comparison across widths"):
        family.across()
    with pytest.raises(MeasurementError, match="an ensemble needs at least two networks, got 1"):
        family.ensemble()


def test_a_family_test_gets_networks_pairs_and_widths(runs):
    runs.suite("""
        from netprops.errors import UsageError
        @pytest.mark.netprops(on="family", families=("toy",), variant="nodecay")
        def test_it(family):
            assert family.id == "toy-here" and family.widths == (2, 4, 8)
            assert [one.id for one in family.subjects(4)] == ["toy-here-w4-s0", "toy-here-w4-s1"]
            assert len(family.subjects()) == 7
            assert [one.seed for one in family.widest()] == [0, 1, 2]
            assert [one.id for one in family.widest("nodecay")][0] == "toy-here-nodecay-w8-s0"
            pairs = family.pairs("nodecay", 4)
            assert [(a.id, b.id) for a, b in pairs][1] == ("toy-here-w4-s1", "toy-here-nodecay-w4-s1")
            assert len(family.pairs("nodecay")) == 4
            for wrong in (lambda: family.pairs("nodecay", 2), lambda: family.subjects(variant="other")):
                with pytest.raises(UsageError, match=r"widths \\[4.0, 8.0\\]|no variant 'other'"):
                    wrong()
    """)
    runs.run("suites").assert_outcomes(passed=1)
    (test,) = runs.record()["tests"]
    assert test["id"].endswith("::test_it[toy-here]")
    assert len(test["subjects"]) == 7 + 4


def test_the_header_counts_each_network_once_and_leaves_out_missing_data(runs):
    runs.suite("""
        @toy
        def test_one(subject): pass
        @toy
        def test_two(subject): pass
        @pytest.mark.netprops(on="family", families=("toy", "lost"))
        def test_three(family): pass
    """)
    result = runs.run("suites", "--netprops-cache", "my-cache")
    result.stdout.fnmatch_lines(
        [
            "netprops: scale mini, device cpu, property tests: 8; networks: 7 needed, 3 cached, "
            "4 to train in "
            "about 1 min 20 s",  # two processes
        ]
    )
    assert (runs.path / "closed").read_text() == "1 companions"
    result.stdout.fnmatch_lines([f"netprops: cache {runs.path}/my-cache, data only what *"])


def test_nothing_is_said_or_written_where_no_property_test_is_selected(runs):
    runs.suite("@toy\ndef test_it(subject): pass\n")
    runs.write("test_other.py", "def test_other():\n    pass\n")
    result = runs.run("-k", "other", ".")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.no_fnmatch_line("*netprops: *")
    runs.run("--collect-only", "suites").stdout.no_fnmatch_line("*netprops: *")
    assert not (runs.path / "reports").exists()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "toi",
            "ERROR: no test matches 'toi': 'toi' is in no name; did you mean 'toy'? "
            "Known: toy-here-w8-s0, toy-here-w8-s1, toy-here-w8-s2",
        ),
        ("it and not toy", "ERROR: no test matches 'it and not toy'. Known: *"),
    ],
)
def test_an_expression_that_selects_nothing_is_answered_with_the_known_ids(runs, expression, message):
    runs.suite("@toy\ndef test_it(subject): pass\n")
    result = runs.run("suites", "-k", expression)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert not (runs.path / "reports").exists()


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_stream_that_runs_dry_is_refused_before_anything_runs(runs, workers):
    runs.write(
        "families/wet.py",
        """
        from netprops import Family, Recipe

        recipe = Recipe(epochs=3, batch=4, optimizer="sgd", lr=0.1, online=True)
        FAMILIES = (Family(name="wet", architecture="toy", data="puddle", scale="mini", widths=(8,), seeds=1,
                           recipe=recipe, source="made up"),)
        """,
    )
    runs.suite("@pytest.mark.netprops(on='widest', families=('wet', 'toy'))\ndef test_it(subject): pass\n")
    result = runs.run("suites", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "ERROR: wet-puddle-w8-s0: the stream of puddle runs dry"
    (result.stdout if workers else result.stderr).fnmatch_lines([said])
    assert not (runs.path / "reports").exists()
    assert not result.parseoutcomes().get("passed")


def test_a_test_without_the_marker_is_left_alone(runs):
    runs.write(
        "test_other.py",
        """
        import pytest
        @pytest.fixture
        def subject():
            return 42
        def test_own(subject):
            assert subject == 42
        def test_verdict(verdict):
            pass
    """,
    )
    result = runs.run("test_other.py")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'verdict' is for tests marked @pytest.mark.netprops(on=*"])


FAILS = """
    @toy
    def test_it(subject, verdict):
        verdict.expect(measured({value}, 0.001), at_least=0.5, source="Fig. 1")
    @toy
    def test_other(subject, verdict):
        verdict.expect(measured(0.9), at_least=0.5, source="Fig. 1")
"""
ENTRY = """
    [[xfail]]
    test = "mine/test_mine.py::test_it"
    subject = "toy-here*"
    scale = "mini"
    measured = "0.1"
    reason = "too small"
"""


def test_an_expected_failure(runs):
    runs.suite(FAILS.format(value=0.1))
    runs.write("suites/xfails.toml", ENTRY)
    result = runs.run("suites")
    result.assert_outcomes(xfailed=3, passed=3)
    assert result.ret == 0
    test = runs.record()["tests"][0]
    assert (test["outcome"], test["reason"]) == ("XFAIL", "too small (measured: 0.1)")
    assert test["xfail"] == "too small (measured: 0.1)"
    assert test["expectations"][0]["outcome"] == "FAIL"


def test_an_expected_failure_that_passes_fails_the_run(runs):
    runs.suite(FAILS.format(value=0.9))
    runs.write("suites/xfails.toml", ENTRY)
    result = runs.run("suites")
    result.assert_outcomes(failed=3, passed=3)
    assert {test["outcome"] for test in runs.record()["tests"]} == {"XPASS", "PASS"}


def test_only_a_verdict_is_an_expected_failure(runs):
    runs.suite("@toy\ndef test_it(subject, verdict):\n    raise OSError('no disk')\n")
    runs.write("suites/xfails.toml", ENTRY)
    runs.run("suites").assert_outcomes(errors=3)
    assert runs.record()["tests"][0]["outcome"] == "ERROR"


@pytest.mark.parametrize(
    ("before", "after"),
    [("::test_it", "::test_gone"), ("toy-here*", "other*"), ("test_mine.py", "test_gone.py")],
)
def test_an_entry_that_matches_nothing_fails_the_run_whatever_k_says(runs, before, after):
    runs.suite(FAILS.format(value=0.1))
    runs.write("suites/xfails.toml", ENTRY.replace(before, after))
    result = runs.run("suites", "-k", "test_other")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: */suites/xfails.toml: no test mine/*correct the entry or remove it"])


def test_an_entry_is_not_stale_where_its_test_was_not_asked_for(runs):
    runs.suite(FAILS.format(value=0.1))
    runs.suite("@toy\ndef test_far(subject): pass\n", "suites/mine/test_far.py")
    elsewhere = ENTRY.replace('"mini"', '"paper"').replace("test_it", "test_gone")
    runs.write("suites/xfails.toml", ENTRY + elsewhere)
    assert runs.run("suites/mine/test_mine.py::test_other").ret == 0
    assert runs.run("suites/mine/test_far.py").ret == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[xfail]", "is not TOML"),
        ("[xfails]", "tables \\[\\[xfail\\]\\] only"),
        (ENTRY.replace("measured", "mesured"), "entry 1: unknown name 'mesured'; did you mean 'measured'"),
        (ENTRY.replace('"too small"', '""'), "entry 1: reason must be given"),
        (ENTRY.replace('"mini"', '"tiny"'), "unknown scale 'tiny'"),
        (ENTRY.replace("::test_it", ""), "test must be 'suite/file.py::test_name'"),
    ],
)
def test_a_wrong_entry(tmp_path, text, message):
    (tmp_path / "xfails.toml").write_text(textwrap.dedent(text))
    with pytest.raises(UsageError, match=message):
        expected_failures(tmp_path / "mine", "mini")


def test_missing_data_skip_with_the_sentence_and_it_cannot_be_overlooked(runs):
    runs.suite("@pytest.mark.netprops(on='widest', families=('lost',))\ndef test_it(subject): pass\n")
    result = runs.run("suites", "-rs")
    result.assert_outcomes(skipped=1)
    sentence = "nowhere is not below None; get it at example.org (1 GB)"
    result.stdout.fnmatch_lines([f"missing data: {sentence}", "*NOTHING WAS TESTED*", f"SKIPPED*{sentence}"])
    record = runs.record()
    assert record["summary"]["missing"] == [sentence]
    assert record["tests"][0]["outcome"] == "SKIPPED"


def test_scale_chooses_families_and_enters_the_command(runs):
    runs.suite("@toy\ndef test_it(subject): pass\n")
    result = runs.run("suites", "--netprops-scale", "paper")
    result.stdout.fnmatch_lines(["missing data: faraway is not below*"])
    (test,) = runs.record()["tests"]
    assert test["id"].endswith("[toy-faraway-w4-s0]")
    assert test["reproduce"].endswith(" --netprops-scale paper")


def test_no_shipped_family_is_declared_twice():
    assert len({(one.scale, one.id) for one in families()}) == len(families())
