"""What a user reads during a run and at its end.

`Report` takes note of everything that happens, and logs what a user should know.
`table` has the jobs, `progress` the bar.
`redaction` keeps the API key, and endless texts of others, out of it.
"""
