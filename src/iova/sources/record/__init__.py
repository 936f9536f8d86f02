"""The recorder: a live kernel's allocator, probed through tracefs.

Four parts, of which each can be used alone: a :class:`Session` owns a tracefs instance and its
probes; a :class:`Capture` reads the raw pages of its ring buffer; :mod:`.ring_file` keeps them on
disk; :mod:`.decode` makes a trace of them. Nothing but the last needs Polars, which takes longer to
load than many a recording lasts.
"""
