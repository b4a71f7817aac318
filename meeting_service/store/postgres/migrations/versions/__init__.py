"""One module per schema version, named by its number and purpose."""
