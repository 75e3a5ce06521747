"""A zoo without networks, for tests of the plugin: what it hands out is made by hand, and at once.

``install()`` puts it in the place of the engine's heavy modules; it is called in the ``conftest.py`` of the
inner pytest run, so that xdist workers have it too.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import netprops
from netprops.errors import MissingDataError, TrainingError, UsageError
from netprops.measurement import Measurement
from netprops.training.progress import Progress


class FakeSubject:
    def __init__(self, spec):
        self.spec, self.id, self.seed, self.width = spec, spec.id, spec.seed, int(spec.width)
        self.features_layer = "hidden.3"

    def error(self, split):
        return 0.0 if self.width > 4 else 0.3

    def summary(self):
        history = [{"epoch": 1, "loss": 0.5, "seconds": 0.1 * len(self.id)}]
        return {"id": self.id, "family": self.spec.family.id, "width": self.width, "history": history}


@dataclass
class Row:
    id: str
    cached: bool
    parameters: int = 10
    epochs: int = 3
    bytes: int = 100
    seconds: float = 40.0


class FakeZoo:
    """Counts its trainings in a file of the working directory; networks of width 13 cannot be trained."""

    def __init__(self, cache, *, data_root=None, device="auto", progress=None, download=False, companions=0):
        self.cache, self.progress, self.companions = cache, progress, companions
        self.built = set()

    def ensure(self, specs, others=()):
        assert all(spec.id for spec in others)
        for spec in specs:
            if spec.width == 13:
                raise TrainingError(f"{spec.id}: the loss is nan after step 3")
            if spec.family.data == "vanishing":
                raise MissingDataError("vanishing is gone")
            if spec.id in self.built:
                continue
            self.built.add(spec.id)
            for epoch in (1, 2, 3):
                self.progress(
                    Progress(
                        label=spec.id,
                        epoch=epoch,
                        epochs=3,
                        step=1,
                        steps=1,
                        loss=0.25,
                        train_error=0.5,
                        test_error=None,
                        seconds_left=61.0,
                    )
                )

    def refuse_dry(self, specs):
        for spec in specs:
            if spec.family.data == "puddle":
                raise UsageError(f"{spec.id}: the stream of puddle runs dry")

    def subject(self, spec):
        return FakeSubject(spec)

    def plan(self, specs):
        return [Row(spec.id, cached=spec.seed == 0, seconds=0 if spec.seed == 0 else 40) for spec in specs]

    def close(self):
        Path("closed").write_text(f"{self.companions} companions")


def measured(value, error=0.0, *, name="quality", df=9.0):
    """A measurement with a standard error, and an interval of two of them."""
    if not error:
        return Measurement.exact(name, value, n=1, n_of="networks", how="made by hand")
    return Measurement(
        name=name,
        value=value,
        low=value - 2 * error,
        high=value + 2 * error,
        n=10,
        df=df,
        n_of="draws",
        standard_error=error,
        how="made by hand",
    )


def install():
    """Replace the zoo, the cache, the data, devices and the report."""

    def module(name, **contents):
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(contents)

    def check(name, root):
        there = name in ("here", "vanishing", "puddle")
        return None if there else f"{name} is not below {root}; get it at example.org (1 GB)"

    def render(run_json, out, *, comparison=None, past=()):
        if (Path.cwd() / "no-report-please").exists():
            raise RuntimeError("no ink")
        (out / "index.html").write_text(f"a report, {comparison and comparison.headline()}, past {len(past)}")
        return out / "index.html"

    module("netprops.zoo", Zoo=FakeZoo)
    module(
        "netprops.cache",
        Cache=lambda root, remote=None: SimpleNamespace(root=root),
        default_root=lambda: Path("the-cache"),
    )
    here = Path(netprops.__file__).parent / "data"
    module("netprops.data", check=check, __path__=[str(here)])  # its submodules are the real ones
    module("netprops.companion", spare_cores=lambda: 1)
    module("netprops.training.device", worker_device=lambda name, index: "cpu", resolve=lambda name: None)
    module("netprops.report", render=render)
