"""Tests of what a stack.yaml may say, and of what is said about one that is wrong."""
