"""One datacenter, from its file to its result: jobs, power, cooling, bill, carbon and water."""
