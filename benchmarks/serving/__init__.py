"""Our server beside its peers: the same model file, threads, context, slots and client, in one run.

`python -m benchmarks.serving --help` tells how to run it. Every measurement starts its server afresh, warms
it up with one unrelated request, and takes its turn: A B C, A B C. So no peer profits from a warm cache
or a quiet minute that another did not have. Ratios are taken between neighbours in time.
"""
