"""What caches hold and do, once a second: sources of looks, and what shows them.

A *look* is the state at one moment: counters since the start and lengths now, a cell for each
domain and size class. Two looks make *rates* (:mod:`iova.top.rates`), which the screen and the
lines show. This room stands to the right of ``report``: it plays traces back through the lab, and
nothing imports it but the command.
"""
