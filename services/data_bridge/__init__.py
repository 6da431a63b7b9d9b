"""THE DOOR OF TICKS: takes them from the agents' lanes, puts each into the log exactly once, passes them on."""
