"""List the exchanges of a run for which the server took longest, from its results folder.

python docs/examples/slowest_exchanges.py results/RUN
"""

import sys
from heapq import nlargest

import estsim

with estsim.open_run(sys.argv[1]) as run:
    answered = (row for row in run.rows("exchanges") if row["first_byte_ns"] is not None and row["sent_ns"] is not None)
    slowest = nlargest(5, answered, key=lambda row: row["first_byte_ns"] - row["sent_ns"])
    for row in slowest:
        wait_ms = (row["first_byte_ns"] - row["sent_ns"]) / 1e6
        print(f"{wait_ms:8.1f} ms  device {row['device']}, {row['operation']}: {row['kind']}")
