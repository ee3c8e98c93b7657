"""Whether a host holds what a stack promises: what is read there, what is tried there, and the report.

The checks themselves are in `infra_tests/`, one promise a file.
"""
