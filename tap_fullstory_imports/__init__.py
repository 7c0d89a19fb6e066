"""Singer tap for the results of Fullstory's batch imports of events and users."""
