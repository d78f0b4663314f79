"""Many jobs on pools of equal devices: queue, placement, preemption, failures, caps; event by event.

Where `simtool.sim.run` follows one training run step by step, a fleet follows up to millions of jobs whose work is
a time: what a job would need without any interruption. Events are submissions, ends, failures, repairs and
decisions; regular checkpoints, steps and signals cost none, and nothing is done per device.
"""
