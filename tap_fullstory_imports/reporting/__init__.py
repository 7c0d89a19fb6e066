"""What a user reads during a run and at its end.

`Report` takes note of everything that happens, and logs what a user should know.
`display` draws the progress and the table of jobs. `words` has parts of sentences, and
keeps the API key out of them.
"""
