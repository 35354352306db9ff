"""A run's folder, shown: `numbers` reads it, `page` makes one HTML page of it, `view` prints rows in a terminal."""
