"""Training: recipes, the loop that follows them, and states that survive a kill."""
