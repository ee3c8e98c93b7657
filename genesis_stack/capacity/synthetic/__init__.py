"""Model files that are true to a model's shape, with random weights.

Throughput and memory depend on shapes and types, not on values, so a host's capacity can be measured
before gigabytes are downloaded.
"""

from genesis_stack.capacity.synthetic.shape import SHAPES, Shape
from genesis_stack.capacity.synthetic.writer import write_model

__all__ = ["SHAPES", "Shape", "write_model"]
