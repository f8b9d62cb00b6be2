"""The public name of what inference/statistics.py defines."""

from speechpriv.audit.inference.statistics import exposure_bits

__all__ = ["exposure_bits"]
