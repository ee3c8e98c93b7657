"""Continuous batching over llama.cpp: one thread owns the context and decodes all requests together."""
