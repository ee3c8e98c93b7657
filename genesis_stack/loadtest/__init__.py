"""Load tests of a stack: who calls, what is measured, and whether the promises held.

Locust runs in a process of its own: `caller`, `shape` and `collector` are imported there alone, for gevent
patches the whole process. The rest reads what that process wrote.
"""
