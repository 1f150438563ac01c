"""`./run fuzz`: each parser against damaged input, in a process of its own that is watched.

`parsers` lists what is tried, `mutations` damages valid input, `child` runs one parser, `watch` watches it.
"""
