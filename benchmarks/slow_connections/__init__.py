"""What slow connections cost honest clients: tokens a second with and without them, in one run.

Honest clients stream all the time. First alone, then beside connections that send nothing, half a head (and
a byte now and then), or half a body, and are opened anew whenever the server ends one; then alone again. The
promise: the throughput falls by less than 5 %, and no honest request fails.
"""
