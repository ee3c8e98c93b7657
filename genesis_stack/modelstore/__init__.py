"""Model files: fetch, verify, GGUF facts, memory fit."""
