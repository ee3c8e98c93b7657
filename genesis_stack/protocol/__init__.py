"""What several processes must agree on: the rendered configuration, error bodies, header names."""
