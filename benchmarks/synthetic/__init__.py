"""Write a model file that is true to a model's shape, with random weights, for benchmarks."""
