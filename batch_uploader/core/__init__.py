"""The values, protocols and errors that all other packages use."""
