"""How jobs are read.

A `Job` is read by one coroutine, which tells the whole story: status, pages, complete?
A `Run` reads all jobs side by side, round by round, and handles signals.
"""
