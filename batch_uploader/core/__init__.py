"""The values, the seams and the errors that everything else speaks in."""
