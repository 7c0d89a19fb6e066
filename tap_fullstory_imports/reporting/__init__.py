"""What a user reads during a run and at its end.

`Report` takes note of everything that happens, and logs what a user should know.
`Progress` shows how far a run is, and `JobTable` the jobs at its end. `words` has parts
of sentences, and keeps the API key out of them.
"""
