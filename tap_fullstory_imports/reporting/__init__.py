"""What a user reads while a run goes on, and after it.

`Report` takes note of everything that happens, and logs what a user should know.
`table` has the jobs, `progress` the bar.
`redaction` keeps the API key, and endless texts of others, out of it.
"""
