"""The errors that netprops raises on purpose; everything else that escapes is a defect.

Each message says what was wrong, where, what was expected, what came, and what to do.
"""


class NetpropsError(Exception):
    """Anything that netprops refuses, with one clear message."""


class UsageError(NetpropsError):
    """An option, name or value that a user gave is not one that netprops knows."""


class MissingDataError(NetpropsError):
    """A data set is not where netprops looks for it; tests that need it are skipped with this message."""


class DamagedDataError(NetpropsError):
    """A data set is there but is not what it should be: cut off, unreadable, of another size."""


class MeasurementError(NetpropsError):
    """A measurement cannot be made: NaN activations, too few samples, a constant layer."""


class UndeterminedError(MeasurementError):
    """The samples do not determine the number, but more of them would: inconclusive, not an error."""


class TrainingError(NetpropsError):
    """A training cannot go on: the loss is not finite, or a saved state does not belong to the recipe."""


class DamagedEntryError(NetpropsError):
    """A file of the cache does not have the digest that its manifest promises."""
