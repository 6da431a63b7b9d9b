"""What hubs share, where it is kept, and how each follows it."""
