"""What a run costs in money and greenhouse gas: views of the ledger, nothing of jobs or schedules.

``view`` opens a ledger; ``costs`` and ``carbon`` turn it into lines that sum to the bill and know in which
state and component they arose; ``annuity`` is the arithmetic of capital; ``projection`` carries lines to
other years, budgets and cluster sizes.
"""
