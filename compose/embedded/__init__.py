"""Everything on one machine without installing anything: engines from wheels, and a supervisor."""
