"""What a run or a site costs in money, greenhouse gas and water: views of power and device time, nothing of jobs.

``costs`` and ``carbon`` turn a ledger into lines that sum to the bill and know in which state and component
they arose. ``tariff``, ``bill`` and ``split`` charge any power over time by a whole tariff, month by month;
``electricity`` makes cost lines of that. ``rent`` and ``price_table`` bill leases, ``ownership`` a site that is
owned; ``carbon_accounts`` keeps average, marginal and market-based apart, ``water`` what is taken on site and at
the power plants. ``annuity`` is the arithmetic of capital, ``unit_costs`` that of a token or a useful hour;
``projection`` carries lines to other years, budgets and cluster sizes.
"""
