"""check(model, data): a suite on a module that is in memory, and its verdicts as text, table and HTML."""

import pytest
import torch
from torch import nn

from netprops import check
from netprops.errors import UsageError

SUITE = '''
import pytest
from netprops import Measurement

@pytest.mark.netprops(on="widest")
def test_the_layer_is_<b>wide</b>(subject, verdict):
    """The layer is wide."""
    size = Measurement.exact("<script>width</script>", subject.width, n=1, n_of="network", how="counted")
    verdict.expect(size, at_least=8, source="made up")
    verdict.expect(size.named("narrow"), at_most=9, source="made up")

@pytest.mark.netprops(on="widest", uses="train")
def test_training(subject, verdict):
    pass
'''.replace("<b>wide</b>", "wide")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture(scope="module")
def data():
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


@pytest.fixture(scope="module")
def checked(network, data, tmp_path_factory):
    suite = tmp_path_factory.mktemp("mysuite")
    (suite / "test_mine.py").write_text(SUITE)
    return check(network, data, suites=[str(suite)], cache=suite / "cache")


def test_verdicts(checked):
    assert [(row.verdict, row.value, row.bound) for row in checked.verdicts] == [
        ("PASS", 16.0, "≥ 8"),
        ("FAIL", 16.0, "≤ 9"),
    ]
    assert not checked.passed
    assert 0 <= checked.accuracy <= 1
    assert checked.left_out == ("left out, for the data have no training split: test_training",)


def test_text_and_html_are_complete_and_escaped(checked):
    text, html = str(checked), checked._repr_html_()
    assert text.startswith(f"sequential-given: accuracy {checked.accuracy:.1%} on the given test data")
    assert "FAIL         narrow = 16, expected ≤ 9" in text
    assert "&lt;script&gt;width&lt;/script&gt;" in html
    assert "<script>" not in html
    assert html.count("<tr>") == 3


def test_a_frame(checked):
    pandas = pytest.importorskip("pandas")
    frame = checked.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["verdict"].tolist() == ["PASS", "FAIL"]


def test_without_pandas(checked, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="to_frame needs pandas, which is not installed: pip install pandas"):
        checked.to_frame()


def test_mistakes_are_raised(network, data, tmp_path):
    with pytest.raises(UsageError, match=r"no suite is called 'mitosi'; did you mean 'mitosis'\?"):
        check(network, data, suites=["mitosi"])
    x, y = data
    with pytest.raises(UsageError, match="sequential-given: the data: the test labels range from 1 to 3"):
        check(network, (x, y + 1), suites=["mitosis"], select="margins", cache=tmp_path)
