"""What others use, doing the same work as well as they can."""
