"""How long a signal takes from its commit to the terminal, and what each part of the way costs."""
