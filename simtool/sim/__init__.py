"""Jobs on a cluster over time: queue, failures, checkpoints, repair; the only room that writes the ledger.

Events move jobs, nodes and failures, never a step, a checkpoint or an accelerator: between two events a
job follows a course that is known in advance, so regular checkpoints cost no event.
"""
