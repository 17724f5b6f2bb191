"""The autoencoder run by something else than torch: graphs written once, read back, and computed by another library."""
