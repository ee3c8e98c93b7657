"""Model files that are true to a model's shape, with random weights.

Throughput and memory depend on shapes and types, not on values, so a host's capacity can be measured
before gigabytes are downloaded. `python -m benchmarks.synthetic --help` tells how.
"""

from benchmarks.synthetic.shape import SHAPES, Shape
from benchmarks.synthetic.writer import write_model

__all__ = ["SHAPES", "Shape", "write_model"]
