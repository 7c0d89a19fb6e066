"""Programs for those who develop or try the tap."""
