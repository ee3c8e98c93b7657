"""The verbs of `genesis-stack`: arguments in, data to stdout, the story to stderr, an exit code."""
