"""The ground that every program stands on; it knows none of them."""
