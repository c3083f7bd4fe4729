"""For authors of provider plugins: what our own tests are made of."""
