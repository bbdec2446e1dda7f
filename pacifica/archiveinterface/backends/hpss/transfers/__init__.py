"""Reading and writing files of HPSS."""
