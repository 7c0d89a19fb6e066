"""Tests of the tap, and the stand-in Fullstory API that they drive."""
