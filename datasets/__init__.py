"""Files on disk -> VideoBatch."""
