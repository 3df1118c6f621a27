"""One module for each framework; none is loaded before it is imported, and none is needed by the others."""
