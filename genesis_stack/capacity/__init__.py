"""What this machine can serve: measured, before anyone depends on it.

The memory's bandwidth is the limit of every decoder, llama.cpp by itself comes close to it, and the server is
what users get. `raw_engine` runs in a process of its own, like the server: this side imports neither.
"""
