"""How messages are written.

`Records` makes records of a stream's rows, and `BatchFiles` puts them into files where
`batch_config` asks for it. `Output` decides what is written when, and `Bookmarks` holds
the finished jobs, of which STATE is made.
"""
