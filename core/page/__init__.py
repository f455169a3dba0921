"""Pages of one file each for a browser: what was found in a video, and how an evaluation went. They ask no network."""
