"""Thousands of light probes from one process: a state machine on epoll, in a thread of its own.

`job` is one connection with what is asked over it and what came of it, `response` the answer as it arrives,
`engine` the loop that moves all of them, `closing` closes what has ended, `names` finds their addresses,
`sweep` is what a probe uses.
docs/design/013-fanout.md says why it is made like this.
"""
