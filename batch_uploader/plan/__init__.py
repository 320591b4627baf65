"""What is to be done about what lies in a source."""
