"""Whether instances work: probes, their history, and the engines that are probed."""
