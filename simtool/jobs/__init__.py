"""Jobs of a cluster: as a table, from traces, from a generator fitted to one, from a campaign."""
